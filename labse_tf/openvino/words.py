"""The rows of the table of word embeddings that are looked up, and no others."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np

from labse_tf.openvino.constants import shared_tensor


class WordTable:
    """Looks up word embeddings, in a graph of its own, of which the table is an input.

    Of a constant OpenVINO reads all, when it compiles a graph: 1.5 GB of LaBSE's, which need not be
    in memory. In lower precisions it would round the whole of an input at each call: so this graph
    is in float32.

    Args:
        weights: by the names of an `Encoder`'s weights: "embeddings/word", float32, float16 or int8
            with "embeddings/word_scale". Their memory is used, not copied.
        threads: most threads of a lookup; 0: as many as there are cores.
    """

    def __init__(self, weights: Mapping[str, np.ndarray], threads: int = 0):
        import openvino
        from openvino import opset13 as ops

        table = weights["embeddings/word"]
        # OpenVINO would make float32 of a whole table of float16: its rows are looked up as bits.
        self._is_half = table.dtype == np.float16
        tables = [table.view(np.int16) if self._is_half else table]
        if table.dtype == np.int8:
            tables.append(weights["embeddings/word_scale"])
        ids = ops.parameter(openvino.PartialShape([-1, -1]), np.int32, name="input_word_ids")
        # Of an input of a fixed shape OpenVINO would allocate the memory.
        shapes = [openvino.PartialShape([-1, t.shape[1]]) for t in tables]
        inputs = [ops.parameter(shape, t.dtype) for shape, t in zip(shapes, tables)]
        zero = ops.constant(np.int32(0))
        found = [ops.gather(x, ids, zero) for x in inputs]
        rows = found[0]
        if len(found) == 2:  # numbers, and a scale for each part of a row
            parts, dim = tables[1].shape[1], table.shape[1]
            shape = ops.constant(np.array([0, 0, parts, dim // parts], np.int32))
            rows = ops.reshape(ops.convert(rows, "f32"), shape, True)
            rows = ops.multiply(rows, ops.unsqueeze(found[1], ops.constant(np.int32(3))))
            rows = ops.reshape(rows, ops.constant(np.array([0, 0, dim], np.int32)), True)
        model = openvino.Model([rows], [ids, *inputs], "words")
        options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        self._compiled = openvino.Core().compile_model(model, "CPU", options)
        self._tables = [np.ascontiguousarray(t) for t in tables]  # kept: their memory is used
        self._tensors = [shared_tensor(t) for t in self._tables]
        self._own = threading.local()

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        """Of ids, int32 [n, width], the rows, float32 [n, width, dim], until the next call.

        Each thread has rows of its own.
        """
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
            for index, tensor in enumerate(self._tensors):
                self._own.request.set_input_tensor(1 + index, tensor)
        rows = self._own.request.infer({0: ids}, share_inputs=True, share_outputs=True)[0]
        return rows.view(np.float16).astype(np.float32) if self._is_half else rows
