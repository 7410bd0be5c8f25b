"""NumPy arrays as constants of an OpenVINO graph."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

import numpy as np


class Constants:
    """A model's weights as constants, whose memory is shared where it can be.

    Args:
        weights: by the names of an `Encoder`'s weights, see
            `labse_tf.openvino.graph.EncoderGraph`.
    """

    def __init__(self, weights: Mapping[str, np.ndarray]):
        import openvino

        self._constant, self.weights = openvino.op.Constant, weights
        self._shared: list[np.ndarray] = []  # keeps the weights' memory alive

    def array(self, name: str) -> np.ndarray:
        """A weight in float32."""
        return np.asarray(self.weights[name], np.float32)

    def weight(self, name: str):
        """A weight as a constant, in float32."""
        return self.shared(self.array(name))

    def shared(self, value: np.ndarray):
        """The array's own memory as a constant, if it is of one piece."""
        if not value.flags.c_contiguous:
            return self.copied(value)
        self._shared.append(value)
        return self._constant(_writeable(value), shared_memory=True)

    def copied(self, value: np.ndarray):
        """A copy of the array as a constant."""
        return self._constant(np.ascontiguousarray(value))

    def ints(self, values):
        """Of int32."""
        return self._constant(np.array(values, np.int32))

    def floats(self, values):
        """Of float32."""
        return self._constant(np.array(values, np.float32))


def shared_tensor(value: np.ndarray):
    """The own memory of an array of one piece, which must be kept for as long as it is used."""
    import openvino

    return openvino.Tensor(_writeable(value), shared_memory=True)


def _writeable(value: np.ndarray) -> np.ndarray:
    """The same memory: OpenVINO shares only what may be written to, though it does not write."""
    memory = (ctypes.c_byte * value.nbytes).from_address(value.ctypes.data)
    return np.frombuffer(memory, value.dtype).reshape(value.shape)
