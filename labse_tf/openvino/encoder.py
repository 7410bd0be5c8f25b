"""The encoder run by OpenVINO instead of TensorFlow, which is faster on most CPUs."""

from __future__ import annotations

import functools
import importlib.util
import threading
from collections.abc import Callable, Mapping

import numpy as np

from labse_tf.encoder.config import EncoderConfig
from labse_tf.extras import install_hint
from labse_tf.openvino.constants import Constants
from labse_tf.openvino.graph import EncoderGraph, group_size
from labse_tf.openvino.kernels import CalibratedKernels, EightBitKernels, FloatKernels
from labse_tf.openvino.words import WordTable

# Of the computation: in int8 kernels and what they are multiplied by are, all else is in bfloat16.
PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "int8": "bf16"}


def check_installed() -> None:
    """Raises an ImportError that names the extra, if OpenVINO is not installed."""
    if importlib.util.find_spec("openvino") is None:
        raise ImportError(f'backend="openvino" needs OpenVINO: {install_hint("openvino")}')


class OpenVINO:
    """Embeds single sentences by an encoder's weights, as they are now.

    Args:
        weights: by the names of an `Encoder`'s weights; float32, float16, or, of the word
            embeddings, int8 with "embeddings/word_scale". Their memory is used where it can be.
        config: of the encoder.
        compute_dtype: precision of what is not asked for in another, one of `PRECISIONS`.
        threads: most threads of an inference; 0: as many as there are cores.
        calibrated: of a model that `labse quantize` wrote, its kernels in 8 bits, see
            `labse_tf.openvino.calibration.calibrate`.
    """

    def __init__(
        self,
        weights: Mapping[str, np.ndarray],
        config: EncoderConfig,
        compute_dtype: str,
        threads: int = 0,
        calibrated: Mapping[str, np.ndarray] | None = None,
    ):
        self.compute_dtype, self.config = compute_dtype, config
        self.weights, self.threads, self.calibrated = weights, threads, calibrated

    @functools.cached_property
    def words(self) -> WordTable:
        """The table of word embeddings, for all precisions."""
        return WordTable(self.weights, self.threads)

    def embedder(self, precision: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """What embeds ids under a mask, int32 [n, width]: unit rows, float32 [n, dim].

        Args:
            precision: one of `PRECISIONS`.
        """
        import openvino

        options = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
            "PERFORMANCE_HINT": "LATENCY",
        }
        if self.threads:
            options["INFERENCE_NUM_THREADS"] = self.threads
        constants = Constants(self.weights)
        if precision != "int8":
            kernels = FloatKernels(constants)
        elif self.calibrated is not None:
            kernels = CalibratedKernels(constants, self.calibrated)
        else:
            kernels = EightBitKernels(constants)
            if together := group_size(self.config):
                options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = together
        graph = EncoderGraph(constants, self.config, kernels)
        compiled = openvino.Core().compile_model(graph.model, "CPU", options)
        own, words = threading.local(), self.words  # an inference request serves one thread

        def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
            if not hasattr(own, "request"):
                own.request, own.graph = compiled.create_infer_request(), graph
            return own.request.infer([words(ids), mask], share_inputs=True)[0]

        return run
