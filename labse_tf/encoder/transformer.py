"""TransformerLayer: self-attention and feed-forward, with or without padding."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tf_keras

from labse_tf.encoder.config import EncoderConfig
from labse_tf.encoder.dropout import Dropout
from labse_tf.encoder.layers import Dense, LayerNorm, activate, shape_of
from labse_tf.encoder.unpadding import Unpadding


class TransformerLayer(tf_keras.layers.Layer):
    """Self-attention and feed-forward, each added to its input and then normalised (post-LN).

    Args:
        config: the encoder's.
        index: place in the stack, from 0; gives each layer dropout masks of its own.
        kernel_dtype: what the four kernels are stored as.
    """

    def __init__(self, config: EncoderConfig, index: int, kernel_dtype: str, **kwargs):
        super().__init__(**kwargs)
        self._config = config
        self._site = 1 + 3 * index
        dtype = kwargs.get("dtype")

        def dense(name: str, inputs: int, outputs: int) -> Dense:
            return Dense(config, inputs, outputs, kernel_dtype, dtype=dtype, name=name)

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
        dropout: Dropout,
        unpadding: Unpadding | None = None,
        first_only: bool = False,
        custom_gradients: bool = False,
    ) -> tf.Tensor:
        """Transforms tokens.

        Projections and feed-forward compute on a matrix of tokens, attention on [batch, heads,
        width, size]. Between the two a padded batch is transposed, and an unpadded one gathered.
        With `first_only` each sentence has one query, its first token, and the matrix as many rows
        as the batch from there on. Example: two sentences of 3 tokens and 1. x has 2 * 3 rows
        padded, and 4 and a filler's unpadded; attention's queries are [2, heads, 3, size] in
        either case, and [2, heads, 1, size] with `first_only`; the result has 6, 5 or 2 rows.

        Args:
            x: [batch * width, hidden], or the tokens of `unpadding`, [tokens, hidden].
            attention_bias: float32 [batch, 1, 1, width].
            dropout: of the encoder's pass.
            unpadding: which tokens x holds; None: it is padded.
            first_only: whether only each sentence's first token is wanted; needs `unpadding`.
            custom_gradients: see `labse_tf.encoder.custom_gradients`.

        Returns:
            As x; with `first_only`, [batch, hidden].
        """
        drop = functools.partial(dropout.of_tokens, first_only=first_only)
        query, key, value = self._split_heads(x, attention_bias, unpadding, custom_gradients)
        if first_only:
            query, x = query[:, :, :1], tf.gather(x, unpadding.token_indices[:, 0])
        if not custom_gradients:
            query *= self._query_scale
        drop_weights = functools.partial(dropout.of_attention, first_only=first_only)
        context = self._attend(query, key, value, attention_bias, drop_weights)
        if first_only:
            context = tf.reshape(context, [-1, self._config.hidden_size])
        else:
            context = self._merge_heads(context, unpadding, custom_gradients)
        y = drop(self.attention_output(context, None, custom_gradients), self._site + 1)
        x = self.attention_norm(x + y, custom_gradients)
        y = self.intermediate(x, None, custom_gradients)
        y = activate(y, self._config.activation, custom_gradients)
        y = drop(self.feed_forward_output(y, None, custom_gradients), self._site + 2)
        return self.output_norm(x + y, custom_gradients)

    def _split_heads(
        self,
        x: tf.Tensor,
        attention_bias: tf.Tensor,
        unpadding: Unpadding | None,
        custom_gradients: bool,
    ) -> list[tf.Tensor]:
        """Queries, keys and values: 3 times [batch, heads, width, size]."""
        heads, size = self._config.num_heads, self._config.head_size
        factors = None
        if custom_gradients:  # a training step has many tokens: it is cheaper to scale the kernel
            factors = np.repeat(np.float32([self._query_scale, 1, 1]), heads * size)
        qkv = self.qkv(x, factors, custom_gradients)
        if unpadding is not None:
            return unpadding.pad_heads(qkv, heads, size, custom_gradients)
        batch, _, _, width = shape_of(attention_bias)
        qkv = tf.transpose(tf.reshape(qkv, [batch, width, 3, heads, size]), [2, 0, 3, 1, 4])
        return tf.unstack(qkv, axis=0)

    def _attend(
        self,
        query: tf.Tensor,
        key: tf.Tensor,
        value: tf.Tensor,
        attention_bias: tf.Tensor,
        drop: Callable[[tf.Tensor, int], tf.Tensor],
    ) -> tf.Tensor:
        """softmax(query key^T + bias) value, [batch, heads, queries, size]; softmax in float32."""
        scores = tf.matmul(query, key, transpose_b=True)
        weights = tf.nn.softmax(tf.cast(scores, tf.float32) + attention_bias)
        return tf.matmul(drop(tf.cast(weights, self.compute_dtype), self._site), value)

    def _merge_heads(
        self, context: tf.Tensor, unpadding: Unpadding | None, custom_gradients: bool
    ) -> tf.Tensor:
        """[batch, heads, width, size] -> [batch * width, hidden], or `unpadding`'s tokens."""
        if unpadding is not None:
            return unpadding.unpad_heads(context, custom_gradients)
        context = tf.transpose(context, [0, 2, 1, 3])
        return tf.reshape(context, [-1, self._config.hidden_size])

    @property
    def _query_scale(self) -> float:
        return self._config.head_size**-0.5
