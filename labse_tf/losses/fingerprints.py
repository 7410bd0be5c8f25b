"""Fingerprints of sentences, and what they say of a batch: which sentences belong together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

_TABLE = 1024


def token_fingerprint(word_ids: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """A 64-bit hash of each row's token ids without padding.

    Two sums of the ids times random odd multipliers, modulo 2**32. Different sentences have equal
    hashes with a probability near 2**-64. Only int32 arithmetic that wraps around, which TPUs have.

    Args:
        word_ids: int32 [batch, width], width at most 2**20.
        mask: int32 [batch, width].

    Returns:
        int32 [batch, 2].
    """
    # The multiplier of a place is a product of two random ones; of the first 1,024, of one and 1.
    multipliers = np.random.default_rng(2007_01852).integers(2**31, size=[2 * _TABLE, 2]) * 2 + 1
    multipliers[_TABLE] = 1
    multipliers = tf.constant(multipliers.astype(np.uint32).view(np.int32))
    places = tf.range(tf.shape(word_ids)[1])
    multipliers = tf.gather(multipliers, places % _TABLE) * tf.gather(
        multipliers, _TABLE + places // _TABLE
    )
    terms = ((word_ids + 1) * mask)[:, :, tf.newaxis] * multipliers[tf.newaxis]
    return tf.reduce_sum(terms, axis=1)


def share_a_sentence(rows: Sequence[tf.Tensor], columns: Sequence[tf.Tensor]) -> tf.Tensor:
    """bool [rows, columns]: whether two pairs have a sentence in common, on whichever side.

    Args:
        rows, columns: fingerprints of the sources and of the targets, int32 [pairs, 2] each.
    """
    same = equal(rows[0], columns[0]) | equal(rows[1], columns[1])
    return same | equal(rows[0], columns[1]) | equal(rows[1], columns[0])


def known_translations(
    rows: Sequence[tf.Tensor], columns: Sequence[tf.Tensor], sentences: tf.Tensor
) -> tf.Tensor:
    """bool [rows, sentences]: whether a sentence is of a pair that shares one with the row's pair.

    That is: the row's own sentences, and everything that the batch pairs with one of them, as
    another translation of the same source. Each row's sentences are looked up among the sorted
    sentences of all pairs; the first occurrences of all rows are compared at once, then the second
    ones, and so on. So nothing is as large as columns times sentences.

    Args:
        rows: fingerprints of the sources and of the targets, int32 [pairs, 2] each; `columns` has
            these pairs as well.
        columns: the same of the global batch.
        sentences: fingerprints, int32 [sentences, 2].
    """
    occurring, partners = tf.concat(columns, axis=0), tf.concat(columns[::-1], axis=0)
    order = tf.argsort(occurring[:, 0])
    occurring, partners = tf.gather(occurring, order), tf.gather(partners, order)
    wanted = tf.concat(rows, axis=0)
    first, end = (
        tf.searchsorted(occurring[:, 0], wanted[:, 0], side=side) for side in ("left", "right")
    )
    last = tf.shape(occurring)[0] - 1

    def compare(offset, found):
        places = tf.minimum(first + offset, last)
        # Sorted by the first half of the fingerprints alone.
        same = tf.reduce_all(tf.gather(occurring, places) == wanted, axis=1)
        same &= first + offset < end
        return offset + 1, found | (
            same[:, tf.newaxis] & equal(tf.gather(partners, places), sentences)
        )

    most = tf.reduce_max(end - first)
    none = tf.zeros_like(equal(wanted, sentences))
    _, found = tf.while_loop(
        lambda offset, _: offset < most, compare, (0, none), parallel_iterations=1
    )
    of_source, of_target = tf.split(found, 2)
    return of_source | of_target


def equal(rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """bool [rows, columns]: whether a row's fingerprint is that of a column."""
    first, second = (rows[:, i, tf.newaxis] == columns[tf.newaxis, :, i] for i in (0, 1))
    return first & second
