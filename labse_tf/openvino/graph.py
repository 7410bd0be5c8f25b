"""The encoder as an OpenVINO graph, in the form that OpenVINO fuses best.

Separate projections of query, key and value, scaled dot product attention as one op.
"""

from __future__ import annotations

import numpy as np

from labse_tf.encoder.config import EncoderConfig
from labse_tf.openvino.constants import Constants
from labse_tf.openvino.kernels import FloatKernels

_GROUPS = (128, 64, 32)  # numbers of an activation that are quantised together; larger: faster


def group_size(config: EncoderConfig) -> int | None:
    """The numbers of a token that have a scale together in int8; None: what OpenVINO chooses."""
    widths = (config.hidden_size, config.intermediate_size)
    return next((n for n in _GROUPS if not any(width % n for width in widths)), None)


class EncoderGraph:
    """Builds the openvino.Model: from what `labse_tf.openvino.words.WordTable` looked up, float32
    [batch, width, dim], and the mask, int32 [batch, width], to unit rows [batch, dim].

    Args:
        constants: of weights by the names of an `Encoder`'s.
        config: of the encoder.
        kernels: multiplies.

    Attributes:
        model: the openvino.Model.
    """

    def __init__(self, constants: Constants, config: EncoderConfig, kernels: FloatKernels):
        import openvino
        from openvino import opset13

        self._ops, self._constants = opset13, constants
        self._config, self._kernels = config, kernels
        self._ints, self._floats = constants.ints, constants.floats
        shape = openvino.PartialShape([-1, -1, config.hidden_size])
        words = opset13.parameter(shape, np.float32, name="word_embeddings")
        mask = opset13.parameter(openvino.PartialShape([-1, -1]), np.int32, name="input_mask")
        weights = opset13.convert(mask, "f32")
        pooled = self._pool(self._hidden(words, weights), weights)
        unit = opset13.normalize_l2(pooled, self._ints([1]), 1e-12, "max")
        self.model = openvino.Model([unit], [words, mask], "labse")

    def _hidden(self, words, weights):
        ops, config = self._ops, self._config
        # A single sentence is of type 0 throughout.
        types = self._constants.array("embeddings/type")[:1]
        places = self._floats(self._constants.array("embeddings/position") + types)
        width = ops.gather(ops.shape_of(words, "i32"), self._ints([1]), self._ints(0))
        places = ops.slice(places, self._ints([0]), width, self._ints([1]))
        x = self._norm("embeddings/layer_norm", ops.add(words, places))
        bias = ops.multiply(ops.subtract(weights, self._floats(1)), self._floats(1e9))
        bias = ops.unsqueeze(bias, self._ints([1, 2]))
        for i in range(config.num_layers):
            first_only = config.pools_first_token and i == config.num_layers - 1
            x = self._layer(f"layer_{i}", x, bias, first_only)
        return x

    def _layer(self, name: str, x, bias, first_only: bool):
        ops, config, kernels = self._ops, self._config, self._kernels
        first = self._first(x) if first_only else x  # what this layer's output is needed of
        projection = f"{name}/attention_qkv"
        inputs = [kernels.rounded(projection, x)] * 3
        if first_only:
            inputs[0] = kernels.rounded(projection, first)

        def heads(third):
            y = kernels.multiply(projection, inputs[third], third)
            shape = self._ints([0, 0, config.num_heads, config.head_size])
            return ops.transpose(ops.reshape(y, shape, True), self._ints([0, 2, 1, 3]))

        context = ops.scaled_dot_product_attention(heads(0), heads(1), heads(2), bias)
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
        if self._config.pools_first_token:
            first = ops.squeeze(self._first(x), self._ints(1))
            return (
                ops.tanh(self._dense("pooler", first)) if self._config.pooling == "cls" else first
            )
        total = ops.reduce_sum(weights, self._ints([1]), True)
        total = ops.maximum(total, self._floats(1))
        weights = ops.unsqueeze(ops.divide(weights, total), self._ints([1]))
        return ops.squeeze(ops.matmul(weights, x, False, False), self._ints([1]))

    def _first(self, x):
        ends = (self._ints([0]), self._ints([1]), self._ints([1]), self._ints([1]))
        return self._ops.slice(x, *ends)

    def _dense(self, name: str, x):
        return self._kernels.multiply(name, self._kernels.rounded(name, x))

    def _norm(self, name: str, x):
        epsilon = self._config.layer_norm_epsilon
        x = self._ops.mvn(x, self._ints([-1]), True, epsilon, "inside_sqrt")
        x = self._ops.multiply(x, self._constants.weight(f"{name}/scale"))
        return self._ops.add(x, self._constants.weight(f"{name}/offset"))
