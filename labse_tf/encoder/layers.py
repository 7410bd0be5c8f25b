"""The layers of the encoder, on [tokens, hidden] so that each projection is one 2-D matmul.

The shapes and ops are chosen by measurement (training step on CPU): oneDNN fuses a 2-D matmul with
the `tf.nn.bias_add` and `tf.nn.gelu` that follow; `x + bias` has a slow gradient; splitting the
fused projection with `tf.unstack` is nine times cheaper than by indexing.
"""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf
import tf_keras

from labse_tf.encoder import custom_gradients as custom
from labse_tf.encoder.config import EncoderConfig
from labse_tf.encoder.dropout import Dropout
from labse_tf.encoder.unpadding import Unpadding

SCALED_TOGETHER = 64  # numbers of a row of int8: an outlier costs the others no more
_ACTIVATIONS = {
    "gelu": tf.nn.gelu,
    "gelu_tanh": functools.partial(tf.nn.gelu, approximate=True),
    "relu": tf.nn.relu,
}


def activate(x: tf.Tensor, name: str, custom_gradients: bool = False) -> tf.Tensor:
    """One of `EncoderConfig`'s activations; see `labse_tf.encoder.custom_gradients`."""
    return custom.gelu(x) if custom_gradients and name == "gelu" else _ACTIVATIONS[name](x)


class Dense(tf_keras.layers.Layer):
    """x @ kernel + bias on [tokens, inputs]. The kernel may be stored in half precision."""

    def __init__(
        self, config: EncoderConfig, inputs: int, outputs: int, kernel_dtype: str, **kwargs
    ):
        super().__init__(**kwargs)
        with tf.name_scope(self.name):
            self.kernel = self.add_weight(
                name="kernel",
                shape=[inputs, outputs],
                dtype=kernel_dtype,
                initializer=_initializer(config),
                experimental_autocast=False,
            )
            self.bias = self.add_weight(name="bias", shape=[outputs], initializer="zeros")
        self.built = True

    def call(
        self, x: tf.Tensor, factors: np.ndarray | None = None, custom_gradients: bool = False
    ) -> tf.Tensor:
        """Return x @ kernel + bias, times `factors`, float32 [outputs], which scale the kernel."""
        kernel, bias = self.kernel, self.bias
        if factors is not None:
            kernel, bias = kernel * factors, bias * tf.cast(factors, bias.dtype)
        kernel = tf.cast(kernel, self.compute_dtype)
        if custom_gradients and kernel.dtype == tf.bfloat16:
            return custom.dense(x, kernel, tf.convert_to_tensor(bias))
        return tf.nn.bias_add(tf.matmul(x, kernel), bias)


class LayerNorm(tf_keras.layers.Layer):
    """Normalises the last axis of [tokens, hidden] in float32, whatever the policy.

    tf_keras' own layer has a fused path, but not for LaBSE's epsilon of 1e-12, and its other path
    is a third slower than this one (forward and backward, 10,240 tokens of 256).
    """

    def __init__(self, config: EncoderConfig, **kwargs):
        super().__init__(autocast=False, **kwargs)  # a float32 input is not rounded first
        self._epsilon = config.layer_norm_epsilon
        width = [config.hidden_size]
        with tf.name_scope(self.name):
            self.scale = self.add_weight(
                name="scale", shape=width, initializer="ones", experimental_autocast=False
            )
            self.offset = self.add_weight(
                name="offset", shape=width, initializer="zeros", experimental_autocast=False
            )
        self.built = True

    def call(self, x: tf.Tensor, custom_gradients: bool = False) -> tf.Tensor:
        if custom_gradients:
            scale, offset = map(tf.convert_to_tensor, (self.scale, self.offset))
            y = custom.normalise(x, scale, offset, self._epsilon)
            return tf.cast(y, self.compute_dtype)
        x = tf.cast(x, tf.float32)
        centred = x - tf.reduce_mean(x, axis=-1, keepdims=True)
        variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
        normal = centred * tf.math.rsqrt(variance + self._epsilon)
        return tf.cast(tf.nn.bias_add(normal * self.scale, self.offset), self.compute_dtype)


class Embeddings(tf_keras.layers.Layer):
    """Word, position and type embeddings, summed and normalised: ids [batch, width] -> tokens."""

    def __init__(self, config: EncoderConfig, word_dtype: str, **kwargs):
        super().__init__(**kwargs)
        self._config = config
        # (table, ids) -> rows; another one where a runtime cannot gather all dtypes.
        self.look_up = tf.gather

        def table(name: str, shape: list[int], dtype: str = "float32") -> tf.Variable:
            # Rows are looked up and then cast: casting first would copy the whole table.
            is_integer = tf.as_dtype(dtype).is_integer
            return self.add_weight(
                name=name,
                shape=shape,
                dtype=dtype,
                initializer="zeros" if is_integer else _initializer(config),
                experimental_autocast=False,
                trainable=not is_integer,
            )

        width = config.hidden_size
        with tf.name_scope(self.name):
            self.word = table("word", [config.vocab_size, width], word_dtype)
            self.word_scale = None  # of the rows of integers
            if self.word.dtype.is_integer:
                self.word_scale = self.add_weight(
                    name="word_scale",
                    shape=[config.vocab_size, scales_of_a_row(width)],
                    initializer="ones",
                    experimental_autocast=False,
                    trainable=False,
                )
            self.position = table("position", [config.max_positions, width])
            self.type = table("type", [config.type_vocab_size, width])
            self.layer_norm = LayerNorm(config, dtype=kwargs.get("dtype"), name="layer_norm")
        self.built = True

    def call(
        self,
        word_ids: tf.Tensor,
        type_ids: tf.Tensor,
        dropout: Dropout,
        unpadding: Unpadding | None = None,
        custom_gradients: bool = False,
    ) -> tf.Tensor:
        """int32 [batch, width] twice -> [batch * width, hidden], or `unpadding`'s tokens."""
        if custom_gradients and unpadding is not None:
            x = self._unpadded_sum(word_ids, type_ids, unpadding)
        else:
            x = self._padded_sum(word_ids, type_ids)
            x = x if unpadding is None else unpadding.unpad(x)
        x = self.layer_norm(x, custom_gradients)
        return dropout.of_tokens(x, 0)

    def words(self, ids: tf.Tensor) -> tf.Tensor:
        """Rows of the table of words: int32 [...] -> float32 [..., hidden]."""
        rows = tf.cast(self.look_up(self.word, ids), tf.float32)
        if self.word_scale is None:
            return rows
        scales = self.look_up(self.word_scale, ids)
        return rows * tf.repeat(scales, self._config.hidden_size // scales.shape[-1], axis=-1)

    def _padded_sum(self, word_ids, type_ids):
        """[batch * width, hidden]."""
        batch, width = shape_of(word_ids)
        hidden = self._config.hidden_size
        x = self.words(word_ids) + tf.gather(self.type, type_ids)
        # As a bias of width * hidden: the gradient of a broadcast addition is a slow reduction.
        position = tf.reshape(self.position[:width], [width * hidden])
        x = tf.nn.bias_add(tf.reshape(x, [batch, width * hidden]), position)
        return tf.reshape(x, [batch * width, hidden])

    def _unpadded_sum(self, word_ids, type_ids, unpadding):
        """[tokens, hidden]; a position and a type are one row of a table of all their sums."""
        width, types = tf.shape(word_ids)[1], self.type.shape[0]
        word_ids, type_ids = (unpadding.unpad(tf.reshape(x, [-1])) for x in (word_ids, type_ids))
        sums = self.position[:width, tf.newaxis] + self.type[tf.newaxis]
        sums = tf.reshape(sums, [width * types, self._config.hidden_size])
        indices = unpadding.positions % width * types + type_ids
        return self.words(word_ids) + custom.rows_of_few(sums, indices)


def scales_of_a_row(hidden_size: int) -> int:
    """How many scales a row of int8 has: one for every 64 numbers, or for all of them."""
    return 1 if hidden_size % SCALED_TOGETHER else hidden_size // SCALED_TOGETHER


def shape_of(x: tf.Tensor) -> list[int | tf.Tensor]:
    """The dimensions of x: an int where it is static, a scalar tensor where it is not."""
    dynamic = tf.shape(x)
    return [dynamic[i] if size is None else size for i, size in enumerate(x.shape)]


def _initializer(config: EncoderConfig):
    return tf_keras.initializers.TruncatedNormal(stddev=config.initializer_range)
