"""Packing: the tokens of a padded batch, one after another, so that padding costs no work."""

from __future__ import annotations

import typing

import tensorflow as tf

_MULTIPLE, _MANY = 64, 512


class Packing(typing.NamedTuple):
    """Which places of a padded batch * width hold tokens; all but attention looks at tokens alone.

    If there is padding, there is a filler behind the last token, the token of one place of the
    padding, which stands for all of it. If there are many tokens, there are as many fillers as
    make a multiple of 64: for each number of tokens that occurs oneDNN compiles its matmuls, and
    keeps them. Nothing that is computed of a filler reaches an embedding, and no gradient of one
    reaches it: both attention and pooling give padding no weight.

    Attributes:
        places: int32 [tokens], where each token stands.
        rows: int32 [batch, width], which token stands in a place; the last, a filler, where none.
    """

    places: tf.Tensor
    rows: tf.Tensor

    @classmethod
    def of(cls, mask: tf.Tensor) -> Packing:
        """Of a mask, int32 [batch, width]; the first place is kept, whatever its mask."""
        width = tf.shape(mask)[1]
        kept = tf.reshape((mask > 0) | (tf.range(width) == 0), [-1])
        places = tf.cast(tf.where(kept)[:, 0], tf.int32)
        count = tf.size(places)
        multiple = tf.where(count > _MANY, _MULTIPLE, 1)
        fillers = tf.where(count < tf.size(kept), multiple - count % multiple, 0)
        # Of the places and one behind them, since a batch may be empty.
        first = tf.concat([tf.cast(kept, tf.int32), [0]], axis=0)
        padding = tf.argmin(first, output_type=tf.int32)
        places = tf.concat([places, tf.fill([fillers], padding)], axis=0)
        rows = tf.where(kept, tf.cumsum(tf.cast(kept, tf.int32)) - 1, tf.size(places) - 1)
        return cls(places, tf.reshape(rows, tf.shape(mask)))

    def split(self, qkv: tf.Tensor, heads: int, size: int, lean: bool) -> list[tf.Tensor]:
        """Queries, keys and values, of tokens to of places: 3 times [batch, heads, width, size].

        Each head's share of a token is moved on its own, so that nothing is transposed.

        Args:
            qkv: [tokens, 3 * heads * size].
            heads, size: of attention.
            lean: whether its gradient is written out, see `labse_tf.encoder.custom_gradients`.
        """
        batch, width = tf.unstack(tf.shape(self.rows))
        parts = tf.range(3)[:, tf.newaxis, tf.newaxis, tf.newaxis]
        index = (self.rows[:, tf.newaxis] * 3 + parts) * heads + tf.range(heads)[:, tf.newaxis]
        back = tf.range(3)[:, tf.newaxis] * (batch * heads * width)
        back += self._of_heads(heads)[:, tf.newaxis]
        moved = _moved(tf.reshape(qkv, [-1, size]), index, back, lean)
        return tf.unstack(moved, axis=0)

    def merge(self, context: tf.Tensor, lean: bool) -> tf.Tensor:
        """What attention gives for places, [batch, heads, width, size]: [tokens, heads * size]."""
        _, heads, _, size = context.shape
        back = self.rows[:, tf.newaxis] * heads + tf.range(heads)[:, tf.newaxis]
        context = _moved(tf.reshape(context, [-1, size]), self._of_heads(heads), back, lean)
        return tf.reshape(context, [-1, heads * size])

    def padded(self, tokens: tf.Tensor, lean: bool) -> tf.Tensor:
        """[tokens, hidden] -> [batch, width, hidden]."""
        return _moved(tokens, self.rows, self.places, lean)

    def _of_heads(self, heads: int) -> tf.Tensor:
        """int32 [tokens, heads]: where the heads of each token stand in [batch, heads, width]."""
        width = tf.shape(self.rows)[1]
        row, place = self.places // width, self.places % width
        return (row[:, tf.newaxis] * heads + tf.range(heads)) * width + place[:, tf.newaxis]


def _moved(x: tf.Tensor, index: tf.Tensor, back: tf.Tensor, lean: bool) -> tf.Tensor:
    """Rows of x; if lean, x's gradient is that of the rows which went to `back`, and no sum.

    `back` has the place in `index` of each row of x. Only the filler stands in several; the
    gradients of all of these are 0.
    """

    @tf.custom_gradient
    def gather(x: tf.Tensor):
        def gradient(dy: tf.Tensor) -> tf.Tensor:
            rows = tf.gather(tf.reshape(dy, [-1, x.shape[1]]), back)
            return tf.reshape(rows, [-1, x.shape[1]])

        return tf.gather(x, index), gradient

    return gather(x) if lean else tf.gather(x, index)
