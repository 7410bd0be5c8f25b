"""The encoder run by OpenVINO instead of TensorFlow, which is faster on some CPUs.

The graph is built from the encoder's own weights, in the form that OpenVINO fuses best: separate
projections of query, key and value, scaled dot product attention as one op.
"""

from __future__ import annotations

import ctypes
import importlib.util
import threading
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from labse_tf.encoder.encoder import Encoder
from labse_tf.encoder.layers import Dense, LayerNorm
from labse_tf.encoder.precision import PRECISIONS
from labse_tf.encoder.transformer import TransformerLayer
from labse_tf.tokenization.preprocessing import Preprocessor

_PRECISIONS = dict(zip(PRECISIONS, ("f32", "bf16"), strict=True))


def check_installed() -> None:
    """Raises an ImportError that names the extra, if OpenVINO is not installed."""
    if importlib.util.find_spec("openvino") is None:
        raise ImportError('backend="openvino" needs OpenVINO: pip install "labse_tf[openvino]"')


class OpenVINO:
    """Embeds single sentences with an encoder's weights as they were when it was made.

    Args:
        encoder: with weights in float32. What it learns afterwards is not seen.
        compute_dtype: precision of what is not asked for in another: "float32" or "bfloat16".
    """

    def __init__(self, encoder: Encoder, compute_dtype: str):
        self.compute_dtype = compute_dtype
        self._graph = _Graph(encoder)

    def embedder(self, preprocessor: Preprocessor, precision: str) -> Callable:
        """What embeds some rows of a window; see `labse_tf.inference.windows.Windows`."""
        import openvino

        options = {
            "INFERENCE_PRECISION_HINT": _PRECISIONS[precision],
            "PERFORMANCE_HINT": "LATENCY",
        }
        if threads := tf.config.threading.get_intra_op_parallelism_threads():
            options["INFERENCE_NUM_THREADS"] = threads
        compiled = openvino.Core().compile_model(self._graph.model, "CPU", options)
        own = threading.local()  # an inference request serves one thread

        @tf.function(
            autograph=False,
            input_signature=[
                tf.RaggedTensorSpec([None, None], tf.int32),
                tf.TensorSpec([None], tf.int64),
                tf.TensorSpec([], tf.int32),
            ],
        )
        def pack(pieces, rows, width):
            packed = preprocessor.pack([tf.gather(pieces, rows)], width)
            return packed["input_word_ids"], packed["input_mask"]

        def run(pieces, rows, width) -> np.ndarray:
            if not hasattr(own, "request"):
                own.request = compiled.create_infer_request()
            inputs = [tensor.numpy() for tensor in pack(pieces, rows, width)]
            return own.request.infer(inputs, share_inputs=True)[0]

        return run


class _Graph:
    """Builds the openvino.Model: ids and mask, int32 [batch, width] -> unit rows [batch, dim]."""

    def __init__(self, encoder: Encoder):
        import openvino
        from openvino import opset13

        self._ops, self._constant = opset13, openvino.op.Constant
        self._config = encoder.config
        self.shared: list[np.ndarray] = []  # keeps the weights' memory alive
        ids, mask = (
            opset13.parameter(openvino.PartialShape([-1, -1]), np.int32, name=name)
            for name in ("input_word_ids", "input_mask")
        )
        weights = opset13.convert(mask, "f32")
        pooled = self._pool(encoder, self._hidden(encoder, ids, weights), weights)
        unit = opset13.normalize_l2(pooled, self._ints([1]), 1e-12, "max")
        self.model = openvino.Model([unit], [ids, mask], "labse")

    def _hidden(self, encoder: Encoder, ids, weights):
        ops, tables = self._ops, encoder.embeddings
        # A single sentence is of type 0 throughout.
        places = self._value(tables.position).data + self._value(tables.type).data[:1]
        width = ops.gather(ops.shape_of(ids, "i32"), self._ints([1]), self._ints(0))
        places = ops.slice(self._constant(places), self._ints([0]), width, self._ints([1]))
        x = ops.gather(self._value(tables.word), ids, self._ints(0))
        x = self._norm(tables.layer_norm, ops.add(x, places))
        bias = ops.multiply(ops.subtract(weights, self._floats(1)), self._floats(1e9))
        bias = ops.unsqueeze(bias, self._ints([1, 2]))
        for layer in encoder.transformer:
            first_only = encoder.pooler is not None and layer is encoder.transformer[-1]
            x = self._layer(layer, x, bias, first_only)
        return x

    def _layer(self, layer: TransformerLayer, x, bias, first_only: bool):
        ops, config = self._ops, self._config
        kernels = np.split(self._value(layer.qkv.kernel).data, 3, axis=1)
        biases = np.split(self._value(layer.qkv.bias).data, 3)
        first = self._first(x) if first_only else x  # what this layer's output is needed of

        def heads(y, index):
            y = ops.matmul(y, self._constant(np.ascontiguousarray(kernels[index])), False, False)
            y = ops.add(y, self._constant(np.ascontiguousarray(biases[index])))
            shape = self._ints([0, 0, config.num_heads, config.head_size])
            return ops.transpose(ops.reshape(y, shape, True), self._ints([0, 2, 1, 3]))

        query, key, value = heads(first, 0), heads(x, 1), heads(x, 2)
        context = ops.scaled_dot_product_attention(query, key, value, bias)
        context = ops.transpose(context, self._ints([0, 2, 1, 3]))
        context = ops.reshape(context, self._ints([0, 0, config.hidden_size]), True)
        x = ops.add(first, self._dense(layer.attention_output, context))
        x = self._norm(layer.attention_norm, x)
        y = self._dense(layer.intermediate, x)
        if config.activation == "relu":
            y = ops.relu(y)
        else:
            y = ops.gelu(y, "erf" if config.activation == "gelu" else "tanh")
        return self._norm(layer.output_norm, ops.add(x, self._dense(layer.feed_forward_output, y)))

    def _pool(self, encoder: Encoder, x, weights):
        ops = self._ops
        if encoder.pooler is not None:
            return ops.tanh(self._dense(encoder.pooler, ops.squeeze(self._first(x), self._ints(1))))
        total = ops.reduce_sum(weights, self._ints([1]), True)
        total = ops.maximum(total, self._floats(1))
        weights = ops.unsqueeze(ops.divide(weights, total), self._ints([1]))
        return ops.squeeze(ops.matmul(weights, x, False, False), self._ints([1]))

    def _first(self, x):
        ends = (self._ints([0]), self._ints([1]), self._ints([1]), self._ints([1]))
        return self._ops.slice(x, *ends)

    def _dense(self, dense: Dense, x):
        x = self._ops.matmul(x, self._value(dense.kernel), False, False)
        return self._ops.add(x, self._value(dense.bias))

    def _norm(self, norm: LayerNorm, x):
        epsilon = self._config.layer_norm_epsilon
        x = self._ops.mvn(x, self._ints([-1]), True, epsilon, "inside_sqrt")
        x = self._ops.multiply(x, self._value(norm.scale))
        return self._ops.add(x, self._value(norm.offset))

    def _value(self, variable: tf.Variable):
        """The variable's own memory as a constant: the table of 1.5 GB is not there twice."""
        value = np.from_dlpack(variable.value())
        self.shared.append(value)
        # OpenVINO shares only what may be written to, though it does not write to it.
        memory = (ctypes.c_float * value.size).from_address(value.ctypes.data)
        return self._constant(
            np.frombuffer(memory, np.float32).reshape(value.shape), shared_memory=True
        )

    def _ints(self, values):
        return self._constant(np.array(values, np.int32))

    def _floats(self, value: float):
        return self._constant(np.array(value, np.float32))
