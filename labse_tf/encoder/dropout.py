"""Dropout whose masks do not depend on how a batch is cut into replicas, chunks and tokens."""

from __future__ import annotations

import tensorflow as tf

from labse_tf.encoder import custom_gradients as custom
from labse_tf.encoder.hashing import GOLDEN, mixed
from labse_tf.encoder.unpadding import Unpadding


class Dropout:
    """Dropout in one pass of an encoder.

    With a seed, whether an element is dropped is a hash of the seed, the number of its row in the
    global batch, its place in the row, the site and the unit. So the masks of a row are the same on
    every number of replicas, in every chunk, with and without padding.

    Args:
        rate: share that is dropped; 0: nothing is.
        seed: int32 [2]; None: `tf.nn.dropout`, another one every time.
        first_row: number of the first row in the global batch.
        batch, width: of the padded batch, ints or int32 scalars.
        unpadding: which tokens of it there are; None: all.
    """

    def __init__(
        self,
        rate: float,
        seed: tf.Tensor | None,
        first_row: int | tf.Tensor,
        batch: int | tf.Tensor,
        width: int | tf.Tensor,
        unpadding: Unpadding | None,
    ):
        self._rate, self._places = rate, None
        if rate and seed is not None:
            seed = tf.convert_to_tensor(seed, tf.int32)
            rows = mixed((first_row + tf.range(batch)) * GOLDEN + seed[0])
            self._places = mixed(rows[:, tf.newaxis] + tf.range(width) * GOLDEN + seed[1])
            tokens = tf.reshape(self._places, [-1])
            self._tokens = tokens if unpadding is None else unpadding.unpad(tokens)

    def of_tokens(self, x: tf.Tensor, site: int, first_only: bool = False) -> tf.Tensor:
        """Dropout of tokens.

        Args:
            x: [tokens, units]; or with `first_only` [batch, units], each row's first token.
            site: number of the place in the encoder; each has masks of its own.
            first_only: what x is.
        """
        if self._places is None:
            return self._unseeded(x)
        keys = self._places[:, 0] if first_only else self._tokens
        return custom.dropout(x, self._rate, mixed(keys + tf.constant(site) * GOLDEN))

    def of_attention(self, weights: tf.Tensor, site: int, first_only: bool = False) -> tf.Tensor:
        """Dropout of attention weights.

        Args:
            weights: [batch, heads, queries, width].
            site: see `of_tokens`.
            first_only: whether the first token alone is a query.
        """
        if self._places is None:
            return self._unseeded(weights)
        places = self._places[:, :1] if first_only else self._places
        heads = mixed((tf.range(weights.shape[1]) + 1) * GOLDEN + site)[:, tf.newaxis]
        return custom.dropout(weights, self._rate, mixed(places[:, tf.newaxis] + heads))

    def _unseeded(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.dropout(x, self._rate) if self._rate else x
