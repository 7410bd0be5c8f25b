"""The encoder run by OpenVINO instead of TensorFlow, which is faster on most CPUs."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Mapping

import numpy as np

from labse_tf.encoder.config import EncoderConfig
from labse_tf.openvino.graph import EncoderGraph, group_size

# Of the computation: in int8 kernels and what they are multiplied by are, all else is in bfloat16.
PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "int8": "bf16"}


def check_installed() -> None:
    """Raises an ImportError that names the extra, if OpenVINO is not installed."""
    if importlib.util.find_spec("openvino") is None:
        raise ImportError('backend="openvino" needs OpenVINO: pip install "labse_tf[openvino]"')


class OpenVINO:
    """Embeds single sentences by an encoder's weights, as they are now.

    Args:
        weights: by name, see `EncoderGraph`.
        config: of the encoder.
        compute_dtype: precision of what is not asked for in another, one of `PRECISIONS`.
        threads: most threads of an inference; 0: as many as there are cores.
    """

    def __init__(
        self,
        weights: Mapping[str, np.ndarray],
        config: EncoderConfig,
        compute_dtype: str,
        threads: int = 0,
    ):
        self.compute_dtype, self.config = compute_dtype, config
        self._weights, self._threads = weights, threads

    def embedder(self, precision: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """What embeds ids under a mask, int32 [n, width]: unit rows, float32 [n, dim].

        Args:
            precision: one of `PRECISIONS`.
        """
        import openvino

        graph = EncoderGraph(self._weights, self.config, eight_bits=precision == "int8")
        options = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
            "PERFORMANCE_HINT": "LATENCY",
        }
        if self._threads:
            options["INFERENCE_NUM_THREADS"] = self._threads
        if precision == "int8" and (together := group_size(self.config)):
            options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = together
        compiled = openvino.Core().compile_model(graph.model, "CPU", options)
        own = threading.local()  # an inference request serves one thread

        def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
            if not hasattr(own, "request"):
                own.request, own.graph = compiled.create_infer_request(), graph
            return own.request.infer([ids, mask], share_inputs=True)[0]

        return run
