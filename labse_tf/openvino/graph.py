"""The encoder as an OpenVINO graph, in the form that OpenVINO fuses best.

Separate projections of query, key and value, scaled dot product attention as one op; in int8 the
kernels in 8 bits with a scale for each output, which OpenVINO multiplies by activations that it
quantises as it runs, in groups of numbers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

import numpy as np

from labse_tf.encoder.config import EncoderConfig

_LARGEST = 127  # of int8, the smallest being its negative
_GROUPS = (128, 64, 32)  # numbers of an activation that are quantised together; larger: faster


def group_size(config: EncoderConfig) -> int | None:
    """The numbers of a token that have a scale together in int8; None: what OpenVINO chooses."""
    widths = (config.hidden_size, config.intermediate_size)
    return next((n for n in _GROUPS if not any(width % n for width in widths)), None)


class EncoderGraph:
    """Builds the openvino.Model: ids and mask, int32 [batch, width] -> unit rows [batch, dim].

    Args:
        weights: by the names of an `Encoder`'s weights; float32, float16, or, of the word
            embeddings, int8 with "embeddings/word_scale". Their memory is shared where it can be,
            so that a table of 1.5 GB is not there twice.
        config: of the encoder.
        eight_bits: whether kernels are rounded to 8 bits.

    Attributes:
        model: the openvino.Model.
    """

    def __init__(
        self, weights: Mapping[str, np.ndarray], config: EncoderConfig, eight_bits: bool = False
    ):
        import openvino
        from openvino import opset13

        self._ops, self._constant = opset13, openvino.op.Constant
        self._weights, self._config, self._eight_bits = weights, config, eight_bits
        self._shared: list[np.ndarray] = []  # keeps the weights' memory alive
        ids, mask = (
            opset13.parameter(openvino.PartialShape([-1, -1]), np.int32, name=name)
            for name in ("input_word_ids", "input_mask")
        )
        rows = opset13.convert(mask, "f32")
        pooled = self._pool(self._hidden(ids, rows), rows)
        unit = opset13.normalize_l2(pooled, self._ints([1]), 1e-12, "max")
        self.model = openvino.Model([unit], [ids, mask], "labse")

    def _hidden(self, ids, weights):
        ops, config = self._ops, self._config
        # A single sentence is of type 0 throughout.
        types = self._array("embeddings/type")[:1]
        places = self._constant(self._array("embeddings/position") + types)
        width = ops.gather(ops.shape_of(ids, "i32"), self._ints([1]), self._ints(0))
        places = ops.slice(places, self._ints([0]), width, self._ints([1]))
        x = self._norm("embeddings/layer_norm", ops.add(self._words(ids), places))
        bias = ops.multiply(ops.subtract(weights, self._floats(1)), self._floats(1e9))
        bias = ops.unsqueeze(bias, self._ints([1, 2]))
        for i in range(config.num_layers):
            first_only = config.pooling == "cls" and i == config.num_layers - 1
            x = self._layer(f"layer_{i}", x, bias, first_only)
        return x

    def _words(self, ids):
        """The rows of the table; of one in int8, those that occur are unpacked."""
        ops = self._ops
        rows = ops.gather(self._value("embeddings/word"), ids, self._ints(0))
        if self._weights["embeddings/word"].dtype == np.float32:
            return rows
        rows = ops.convert(rows, "f32")
        if self._weights["embeddings/word"].dtype == np.float16:
            return rows
        scales = ops.gather(self._value("embeddings/word_scale"), ids, self._ints(0))
        parts = self._weights["embeddings/word_scale"].shape[1]
        shape = self._ints([0, 0, parts, self._config.hidden_size // parts])
        rows = ops.multiply(ops.reshape(rows, shape, True), ops.unsqueeze(scales, self._ints([3])))
        return ops.reshape(rows, self._ints([0, 0, self._config.hidden_size]), True)

    def _layer(self, name: str, x, bias, first_only: bool):
        ops, config = self._ops, self._config
        kernels = np.split(self._array(f"{name}/attention_qkv/kernel"), 3, axis=1)
        biases = np.split(self._array(f"{name}/attention_qkv/bias"), 3)
        first = self._first(x) if first_only else x  # what this layer's output is needed of

        def heads(y, index):
            y = self._matmul(y, kernels[index])
            y = ops.add(y, self._constant(np.ascontiguousarray(biases[index])))
            shape = self._ints([0, 0, config.num_heads, config.head_size])
            return ops.transpose(ops.reshape(y, shape, True), self._ints([0, 2, 1, 3]))

        query, key, value = heads(first, 0), heads(x, 1), heads(x, 2)
        context = ops.scaled_dot_product_attention(query, key, value, bias)
        context = ops.transpose(context, self._ints([0, 2, 1, 3]))
        context = ops.reshape(context, self._ints([0, 0, config.hidden_size]), True)
        x = ops.add(first, self._dense(f"{name}/attention_output", context))
        x = self._norm(f"{name}/attention_layer_norm", x)
        y = self._dense(f"{name}/intermediate", x)
        if config.activation == "relu":
            y = ops.relu(y)
        else:
            y = ops.gelu(y, "erf" if config.activation == "gelu" else "tanh")
        y = ops.add(x, self._dense(f"{name}/output", y))
        return self._norm(f"{name}/output_layer_norm", y)

    def _pool(self, x, weights):
        ops = self._ops
        if self._config.pooling == "cls":
            return ops.tanh(self._dense("pooler", ops.squeeze(self._first(x), self._ints(1))))
        total = ops.reduce_sum(weights, self._ints([1]), True)
        total = ops.maximum(total, self._floats(1))
        weights = ops.unsqueeze(ops.divide(weights, total), self._ints([1]))
        return ops.squeeze(ops.matmul(weights, x, False, False), self._ints([1]))

    def _first(self, x):
        ends = (self._ints([0]), self._ints([1]), self._ints([1]), self._ints([1]))
        return self._ops.slice(x, *ends)

    def _dense(self, name: str, x):
        kernel = self._array(f"{name}/kernel")
        return self._ops.add(self._matmul(x, kernel), self._value(f"{name}/bias"))

    def _matmul(self, x, kernel: np.ndarray):
        if not self._eight_bits:
            return self._ops.matmul(x, self._shared_constant(kernel), False, False)
        kernel = np.ascontiguousarray(kernel.T)
        largest = np.abs(kernel).max(axis=1, keepdims=True)
        scales = np.where(largest > 0, largest / _LARGEST, 1).astype(np.float32)
        numbers = np.rint(kernel / scales).astype(np.int8)
        kernel = self._ops.convert(self._constant(numbers), "f32")
        return self._ops.matmul(x, self._ops.multiply(kernel, self._constant(scales)), False, True)

    def _norm(self, name: str, x):
        epsilon = self._config.layer_norm_epsilon
        x = self._ops.mvn(x, self._ints([-1]), True, epsilon, "inside_sqrt")
        x = self._ops.multiply(x, self._value(f"{name}/scale"))
        return self._ops.add(x, self._value(f"{name}/offset"))

    def _array(self, name: str) -> np.ndarray:
        """A weight in float32."""
        return np.asarray(self._weights[name], np.float32)

    def _value(self, name: str):
        """A weight as a constant, in the dtype of the word embeddings' or in float32."""
        value = self._weights[name]
        if name != "embeddings/word":
            value = np.asarray(value, np.float32)
        return self._shared_constant(value)

    def _shared_constant(self, value: np.ndarray):
        """The array's own memory as a constant."""
        if not value.flags.c_contiguous:
            return self._constant(np.ascontiguousarray(value))
        self._shared.append(value)
        # OpenVINO shares only what may be written to, though it does not write to it.
        memory = (ctypes.c_byte * value.nbytes).from_address(value.ctypes.data)
        shared = np.frombuffer(memory, value.dtype).reshape(value.shape)
        return self._constant(shared, shared_memory=True)

    def _ints(self, values):
        return self._constant(np.array(values, np.int32))

    def _floats(self, value: float):
        return self._constant(np.array(value, np.float32))
