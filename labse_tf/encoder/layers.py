"""The layers of the encoder, on [tokens, hidden] so that each projection is one 2-D matmul.

The shapes and ops are chosen by measurement (training step on CPU): a 2-D matmul followed by
`tf.nn.bias_add` and `tf.nn.gelu` is what oneDNN fuses; `x + bias` has a slow gradient; splitting
the fused projection with `tf.unstack` is nine times cheaper than by indexing.
"""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf
import tf_keras

from labse_tf.encoder import custom_gradients
from labse_tf.encoder.config import EncoderConfig
from labse_tf.encoder.unpadding import Packing

_ACTIVATIONS = {
    "gelu": tf.nn.gelu,
    "gelu_tanh": functools.partial(tf.nn.gelu, approximate=True),
    "relu": tf.nn.relu,
}


def activate(x: tf.Tensor, name: str, lean: bool = False) -> tf.Tensor:
    """An activation of `EncoderConfig`; if `lean`, see `labse_tf.encoder.custom_gradients`."""
    return custom_gradients.gelu(x) if lean and name == "gelu" else _ACTIVATIONS[name](x)


def dropout(x: tf.Tensor, rate: float, seed: tf.Tensor | None, site: int) -> tf.Tensor:
    """Drops elements; with a seed (int32 [2]) the same seed and site drop the same ones."""
    if not rate:
        return x
    if seed is None:
        return tf.nn.dropout(x, rate)
    seed = tf.random.experimental.stateless_fold_in(seed, site)
    return custom_gradients.dropout(x, rate, seed)


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

    def call(self, x: tf.Tensor, factors: np.ndarray | None = None) -> tf.Tensor:
        """The product, or that times `factors`, float32 [outputs], by way of the kernel."""
        kernel, bias = self.kernel, self.bias
        if factors is not None:
            kernel, bias = kernel * factors, bias * tf.cast(factors, bias.dtype)
        return tf.nn.bias_add(tf.matmul(x, tf.cast(kernel, self.compute_dtype)), bias)


class LayerNorm(tf_keras.layers.Layer):
    """Normalises the last axis of [tokens, hidden] in float32, whatever the policy.

    tf_keras' own layer has a fused path, but not for LaBSE's epsilon of 1e-12, and its other path
    is a third slower than this one (forward and backward, 10,240 tokens of 256).
    """

    def __init__(self, config: EncoderConfig, **kwargs):
        super().__init__(autocast=False, **kwargs)  # its input comes as it is, perhaps in float32
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

    def call(self, x: tf.Tensor, lean: bool = False) -> tf.Tensor:
        if lean:
            scale, offset = map(tf.convert_to_tensor, (self.scale, self.offset))
            y = custom_gradients.normalise(x, scale, offset, self._epsilon)
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

        def table(name: str, rows: int, dtype: str = "float32") -> tf.Variable:
            # Rows are looked up and then cast: casting first would copy the whole table.
            return self.add_weight(
                name=name,
                shape=[rows, config.hidden_size],
                dtype=dtype,
                initializer=_initializer(config),
                experimental_autocast=False,
            )

        with tf.name_scope(self.name):
            self.word = table("word", config.vocab_size, word_dtype)
            self.position = table("position", config.max_positions)
            self.type = table("type", config.type_vocab_size)
            self.layer_norm = LayerNorm(config, dtype=kwargs.get("dtype"), name="layer_norm")
        self.built = True

    def call(self, word_ids, type_ids, training=False, dropout_seed=None, packing=None, lean=False):
        if lean and packing is not None:
            x = self._of_tokens(word_ids, type_ids, packing)
        else:
            x = self._of_places(word_ids, type_ids)
            x = x if packing is None else tf.gather(x, packing.places)
        x = self.layer_norm(x, lean)
        return dropout(x, self._config.dropout, dropout_seed, 0) if training else x

    def _of_places(self, word_ids, type_ids):
        batch, width = shape_of(word_ids)
        hidden = self._config.hidden_size
        x = tf.cast(tf.gather(self.word, word_ids), tf.float32) + tf.gather(self.type, type_ids)
        # As a bias of width * hidden: the gradient of a broadcast addition is a slow reduction.
        position = tf.reshape(self.position[:width], [width * hidden])
        x = tf.nn.bias_add(tf.reshape(x, [batch, width * hidden]), position)
        return tf.reshape(x, [batch * width, hidden])

    def _of_tokens(self, word_ids, type_ids, packing):
        """Positions and types as a product, which has a fast gradient."""
        width = tf.shape(word_ids)[1]
        word_ids, type_ids = (
            tf.gather(tf.reshape(x, [-1]), packing.places) for x in (word_ids, type_ids)
        )
        chosen = tf.concat(
            [tf.one_hot(packing.places % width, width), tf.one_hot(type_ids, self.type.shape[0])],
            axis=1,
        )
        tables = tf.concat([self.position[:width], self.type], axis=0)
        return tf.gather(self.word, word_ids) + tf.matmul(chosen, tables)


class TransformerLayer(tf_keras.layers.Layer):
    """Self-attention and feed-forward, each added to its input and then normalised (post-LN).

    Args:
        config: the encoder's.
        index: place in the stack, from 0; sets the random streams of dropout apart.
        kernel_dtype: what the four kernels are stored as.
    """

    def __init__(self, config: EncoderConfig, index: int, kernel_dtype: str, **kwargs):
        super().__init__(**kwargs)
        self._config = config
        self._site = 1 + 3 * index

        def dense(name: str, inputs: int, outputs: int) -> Dense:
            return Dense(config, inputs, outputs, kernel_dtype, dtype=dtype, name=name)

        dtype = kwargs.get("dtype")
        hidden, intermediate = config.hidden_size, config.intermediate_size
        with tf.name_scope(self.name):
            self.qkv = dense("attention_qkv", hidden, 3 * hidden)
            self.attention_output = dense("attention_output", hidden, hidden)
            self.attention_norm = LayerNorm(config, dtype=dtype, name="attention_layer_norm")
            self.intermediate = dense("intermediate", hidden, intermediate)
            self.feed_forward_output = dense("output", intermediate, hidden)
            self.output_norm = LayerNorm(config, dtype=dtype, name="output_layer_norm")
        self.built = True

    def call(
        self,
        x: tf.Tensor,
        attention_bias: tf.Tensor,
        training: bool = False,
        dropout_seed: tf.Tensor | None = None,
        packing: Packing | None = None,
        first_only: bool = False,
        lean: bool = False,
    ) -> tf.Tensor:
        """Transforms tokens.

        Args:
            x: [tokens, hidden], batch * width of them, or those of `packing`.
            attention_bias: float32 [batch, 1, 1, width].
            training, dropout_seed: see `Encoder`.
            packing: which tokens x holds.
            first_only: whether only the first token of each sentence is wanted; with a packing.
            lean: whether gradients are written out, see `labse_tf.encoder.custom_gradients`.

        Returns:
            as x; with `first_only`, [batch, hidden].
        """

        def drop(y: tf.Tensor, site: int) -> tf.Tensor:
            rate = self._config.dropout if training else 0.0
            return dropout(y, rate, dropout_seed, self._site + site)

        heads, size = self._config.num_heads, self._config.head_size
        batch, _, _, width = shape_of(attention_bias)

        # The queries' scale: on many tokens it is cheaper by way of the kernel.
        scale = size**-0.5
        scales = np.repeat(np.float32([scale, 1, 1]), heads * size) if lean else None
        qkv = self.qkv(x, scales)
        if packing is None:
            qkv = tf.transpose(tf.reshape(qkv, [batch, width, 3, heads, size]), [2, 0, 3, 1, 4])
            query, key, value = tf.unstack(qkv, axis=0)
        else:
            query, key, value = packing.split(qkv, heads, size, lean)
        if first_only:
            query = query[:, :, :1]
            x = tf.gather(x, packing.rows[:, 0])
        query = query if lean else query * scale
        scores = tf.matmul(query, key, transpose_b=True)
        weights = tf.nn.softmax(tf.cast(scores, tf.float32) + attention_bias)
        weights = drop(tf.cast(weights, self.compute_dtype), 0)
        context = tf.matmul(weights, value)
        if first_only:
            context = tf.reshape(context, [batch, heads * size])
        elif packing is None:
            context = tf.transpose(context, [0, 2, 1, 3])
            context = tf.reshape(context, [batch * width, heads * size])
        else:
            context = packing.merge(context, lean)
        x = self.attention_norm(x + drop(self.attention_output(context), 1), lean)

        y = activate(self.intermediate(x), self._config.activation, lean)
        return self.output_norm(x + drop(self.feed_forward_output(y), 2), lean)


def shape_of(x: tf.Tensor) -> list[int | tf.Tensor]:
    """The dimensions of x: an int where it is static, a scalar tensor where it is not."""
    dynamic = tf.shape(x)
    return [dynamic[i] if size is None else size for i, size in enumerate(x.shape)]


def _initializer(config: EncoderConfig):
    return tf_keras.initializers.TruncatedNormal(stddev=config.initializer_range)
