"""The best scores of a tile of products, without looking at each with top_k.

max_pool reads scores at the speed of memory, while top_k compares one at a time; so scores are
reduced to the maxima of blocks first. Block b of n holds columns b, b + n, b + 2 n...: the layout
that max_pool is fastest on. Inside of a tf.function.
"""

from __future__ import annotations

import tensorflow as tf

BLOCK = 16


def top(scores: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The best k of each row and their columns, best first; of equal ones, the first.

    Args:
        scores: float32 or bfloat16 [rows, columns].
        k: int32, at most the number of columns.

    Returns:
        float32 [rows, k] and int32 [rows, k].
    """
    found, places = tf.math.top_k(scores, k)
    return tf.cast(found, tf.float32), places


def top_by_blocks(scores: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """As `top`, in any order and of equal ones any: they are in the blocks of the best maxima.

    Or in the rest that fills no block. There must be `BLOCK` columns at least.
    """
    rows, columns = tf.unstack(tf.shape(scores))
    whole = columns // BLOCK * BLOCK
    maxima = _maxima(scores[:, :whole])
    best = tf.math.top_k(maxima, tf.minimum(k, whole // BLOCK), sorted=False).indices
    rest = tf.broadcast_to(tf.range(whole, columns), [rows, columns - whole])
    members = tf.concat([_members(best, whole // BLOCK), rest], axis=1)
    found, members = _best_members(scores, members, tf.minimum(k, columns))
    return tf.cast(found, tf.float32), members


def top_by_two_levels(scores: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """As `top_by_blocks`, with the maxima of blocks of blocks.

    The number of columns must be a multiple of `BLOCK`**2, and k times that at least.
    """
    maxima = _maxima(scores)
    best = tf.math.top_k(_maxima(maxima), k, sorted=False).indices
    for values in (maxima, scores):
        found, best = _best_members(values, _members(best, tf.shape(values)[1] // BLOCK), k)
    return tf.cast(found, tf.float32), best


def row_block_maxima(scores: tf.Tensor) -> tf.Tensor:
    """Of each column, the maxima of every `BLOCK` rows, which follow each other.

    Args:
        scores: [rows, columns], rows a multiple of `BLOCK`.

    Returns:
        [rows / BLOCK, columns].
    """
    rows, columns = tf.unstack(tf.shape(scores))
    return _pool(tf.reshape(scores, [rows // BLOCK, BLOCK, 1, columns]))


def _maxima(values: tf.Tensor) -> tf.Tensor:
    rows, columns = tf.unstack(tf.shape(values))
    return _pool(tf.reshape(values, [rows, BLOCK, 1, columns // BLOCK]))


def _pool(images: tf.Tensor) -> tf.Tensor:
    """[n, BLOCK, 1, m] -> [n, m]"""
    maxima = tf.nn.max_pool(images, [BLOCK, 1], [BLOCK, 1], "VALID")
    return tf.reshape(maxima, [tf.shape(images)[0], tf.shape(images)[3]])


def _members(best: tf.Tensor, blocks: tf.Tensor) -> tf.Tensor:
    """The columns in some blocks of each row: int32 [rows, kept] -> [rows, kept * BLOCK]."""
    members = best[:, :, None] + blocks * tf.range(BLOCK)
    return tf.reshape(members, [tf.shape(best)[0], tf.shape(best)[1] * BLOCK])


def _best_members(
    values: tf.Tensor, members: tf.Tensor, k: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    found, places = tf.math.top_k(tf.gather(values, members, batch_dims=1), k, sorted=False)
    return found, tf.gather(members, places, batch_dims=1)
