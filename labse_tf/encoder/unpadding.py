"""Unpadding: the tokens of a padded batch without its padding, so that padding costs no work."""

from __future__ import annotations

import typing

import tensorflow as tf

_MULTIPLE, _MANY = 64, 512


class Unpadding(typing.NamedTuple):
    """Which positions of a padded batch hold tokens; everything but attention computes on these.

    A batch of 2 sentences with the mask [[1, 1, 1], [1, 0, 0]] has 4 tokens, at the flat positions
    0, 1, 2 and 3 of its 2 * 3. Since it has padding, a filler stands behind the last token: a copy
    of one padding position, here 4. So `positions` is [0, 1, 2, 3, 4], and `token_indices` is
    [[0, 1, 2], [3, 4, 4]]: the filler stands for all padding.

    Above 512 tokens there are as many fillers as make a multiple of 64, since oneDNN compiles a
    matmul for each number of rows and caches it. No filler reaches an embedding, and no gradient
    reaches a filler: attention and pooling give padding no weight.

    Attributes:
        positions: int32 [tokens], the flat position, row * width + column, of each token.
        token_indices: int32 [batch, width], the token at each position; the last one, a filler, at
            padding.
    """

    positions: tf.Tensor
    token_indices: tf.Tensor

    @classmethod
    def from_mask(cls, mask: tf.Tensor) -> Unpadding:
        """From a mask, int32 [batch, width]; the first column is kept, whatever its mask."""
        width = tf.shape(mask)[1]
        kept = tf.reshape((mask > 0) | (tf.range(width) == 0), [-1])
        positions = tf.cast(tf.where(kept)[:, 0], tf.int32)
        count = tf.size(positions)
        multiple = tf.where(count > _MANY, _MULTIPLE, 1)
        fillers = tf.where(count < tf.size(kept), multiple - count % multiple, 0)
        # One more than the positions, since a batch may be empty.
        extended = tf.concat([tf.cast(kept, tf.int32), [0]], axis=0)
        padding = tf.argmin(extended, output_type=tf.int32)
        positions = tf.concat([positions, tf.fill([fillers], padding)], axis=0)
        last = tf.size(positions) - 1
        tokens = tf.where(kept, tf.cumsum(tf.cast(kept, tf.int32)) - 1, last)
        return cls(positions, tf.reshape(tokens, tf.shape(mask)))

    def unpad(self, x: tf.Tensor) -> tf.Tensor:
        """[batch * width, ...] -> [tokens, ...]."""
        return tf.gather(x, self.positions)

    def mean(self, tokens: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """The mean of each row's tokens under the mask, float32 [batch, hidden].

        A row without any is 0. The tokens are not padded for it, which would be a pass over more.

        Args:
            tokens: as `unpad` gives them.
            mask: int32 [batch, width], that of `from_mask`.
        """
        batch, width = tf.unstack(tf.shape(mask))
        weights = tf.cast(mask, tf.float32)
        weights /= tf.maximum(tf.reduce_sum(weights, axis=1, keepdims=True), 1.0)
        weights = tf.gather(tf.reshape(weights, [-1]), self.positions)  # of fillers 0
        # Fillers stand behind the last token, and segments have to be in order.
        row = tf.where(
            (weights > 0) | (self.positions % width == 0), self.positions // width, batch - 1
        )
        return tf.math.segment_sum(tf.cast(tokens, tf.float32) * weights[:, tf.newaxis], row)

    def pad_heads(
        self, qkv: tf.Tensor, heads: int, size: int, custom_gradients: bool
    ) -> list[tf.Tensor]:
        """Queries, keys and values for attention: 3 times [batch, heads, width, size].

        Each head's part of a token is gathered on its own, so that nothing is transposed.

        Args:
            qkv: [tokens, 3 * heads * size].
            heads: of attention.
            size: of a head.
            custom_gradients: see `labse_tf.encoder.custom_gradients`.
        """
        batch, width = tf.unstack(tf.shape(self.token_indices))
        parts = tf.range(3)[:, tf.newaxis, tf.newaxis, tf.newaxis]
        index = (self.token_indices[:, tf.newaxis] * 3 + parts) * heads
        index += tf.range(heads)[:, tf.newaxis]
        inverse = tf.range(3)[:, tf.newaxis] * (batch * heads * width)
        inverse += self._head_positions(heads)[:, tf.newaxis]
        gathered = _gather(tf.reshape(qkv, [-1, size]), index, inverse, custom_gradients)
        return tf.unstack(gathered, axis=0)

    def unpad_heads(self, context: tf.Tensor, custom_gradients: bool) -> tf.Tensor:
        """The output of attention, [batch, heads, width, size] -> [tokens, heads * size]."""
        _, heads, _, size = context.shape
        inverse = self.token_indices[:, tf.newaxis] * heads + tf.range(heads)[:, tf.newaxis]
        positions = self._head_positions(heads)
        context = _gather(tf.reshape(context, [-1, size]), positions, inverse, custom_gradients)
        return tf.reshape(context, [-1, heads * size])

    def _head_positions(self, heads: int) -> tf.Tensor:
        """int32 [tokens, heads]: the flat position of a token's heads in [batch, heads, width]."""
        width = tf.shape(self.token_indices)[1]
        row, column = self.positions // width, self.positions % width
        return (row[:, tf.newaxis] * heads + tf.range(heads)) * width + column[:, tf.newaxis]


def _gather(x: tf.Tensor, index: tf.Tensor, inverse: tf.Tensor, custom_gradients: bool):
    """Rows of x. The custom gradient gathers by `inverse`, where TensorFlow's scatters and adds.

    `inverse` holds the place of each row of x in `index`. Only a filler has several places, and
    the gradients of all of them are 0.
    """

    @tf.custom_gradient
    def gather(x: tf.Tensor):
        def gradient(dy: tf.Tensor) -> tf.Tensor:
            rows = tf.gather(tf.reshape(dy, [-1, x.shape[1]]), inverse)
            return tf.reshape(rows, [-1, x.shape[1]])

        return tf.gather(x, index), gradient

    return gather(x) if custom_gradients else tf.gather(x, index)
