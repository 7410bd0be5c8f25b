"""The linear layers of an encoder as an OpenVINO graph: in floats, or in 8 bits of two kinds.

Each kind has `rounded`, what a layer's input is multiplied as, and `multiply`, the layer: apart,
since query, key and value have the same input.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from labse_tf.openvino.constants import Constants

LARGEST = 127  # of int8 in kernels, the smallest being its negative


class FloatKernels:
    """Kernels as they are.

    Args:
        constants: of the encoder's weights.
    """

    def __init__(self, constants: Constants):
        from openvino import opset13

        self._ops, self._constants = opset13, constants

    def rounded(self, name: str, x):
        """The input of the layer `name`, as it is multiplied."""
        return x

    def multiply(self, name: str, x, third: int | None = None):
        """The layer `name` of what `rounded` gave; of a layer in three parts only one of them."""
        kernel = self._part(self._constants.array(f"{name}/kernel"), third)
        bias = self._part(self._constants.array(f"{name}/bias"), third)
        return self._ops.add(self._product(x, kernel), self._constants.shared(bias))

    def _product(self, x, kernel: np.ndarray):
        return self._ops.matmul(x, self._constants.shared(kernel), False, False)

    @staticmethod
    def _part(values: np.ndarray, third: int | None) -> np.ndarray:
        return values if third is None else np.split(values, 3, axis=-1)[third]


class EightBitKernels(FloatKernels):
    """Kernels in 8 bits with a scale for each output; OpenVINO rounds the inputs as it runs.

    Nothing has to be known of the inputs: OpenVINO finds a scale for each group of their numbers
    (DYNAMIC_QUANTIZATION_GROUP_SIZE).
    """

    def _product(self, x, kernel: np.ndarray):
        kernel = np.ascontiguousarray(kernel.T)
        largest = np.abs(kernel).max(axis=1, keepdims=True)
        scales = np.where(largest > 0, largest / LARGEST, 1).astype(np.float32)
        numbers = self._constants.copied(np.rint(kernel / scales).astype(np.int8))
        return _eight_bit_product(self._ops, self._constants, x, numbers, scales)


class CalibratedKernels(FloatKernels):
    """Kernels and inputs in 8 bits, by ranges of the inputs that were found before.

    Layers without ranges, as the pooler, are multiplied in floats.

    Args:
        constants: of the encoder's weights.
        calibrated: what `labse_tf.openvino.calibration.calibrate` found.
    """

    def __init__(self, constants: Constants, calibrated: Mapping[str, np.ndarray]):
        super().__init__(constants)
        self._calibrated = calibrated

    def rounded(self, name: str, x):
        if f"{name}/numbers" not in self._calibrated:
            return x
        ops, constants = self._ops, self._constants
        step, centre = (self._calibrated[f"{name}/{part}"] for part in ("step", "centre"))
        x = ops.add(ops.multiply(x, constants.floats(1 / step)), constants.floats(-centre / step))
        ends = (constants.floats(-LARGEST - 1.0), constants.floats(float(LARGEST)))
        return ops.fake_quantize(x, *ends, *ends, 256)

    def multiply(self, name: str, x, third: int | None = None):
        if f"{name}/numbers" not in self._calibrated:
            return super().multiply(name, x, third)
        numbers, scales, bias = (
            self._calibrated[f"{name}/{part}"] for part in ("numbers", "scale", "bias")
        )
        if third is not None:
            numbers, scales, bias = (np.split(a, 3)[third] for a in (numbers, scales, bias))
        kernel = self._constants.shared(numbers)
        y = _eight_bit_product(self._ops, self._constants, x, kernel, scales[:, np.newaxis])
        return self._ops.add(y, self._constants.copied(bias))


def _eight_bit_product(ops, constants: Constants, x, numbers, scales: np.ndarray):
    kernel = ops.multiply(ops.convert(numbers, "f32"), constants.copied(scales))
    return ops.matmul(x, kernel, False, True)
