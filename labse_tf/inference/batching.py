"""Batches of like length: which rows are embedded together, and how wide they are padded.

A batch is as wide as its longest row, so one sentence of 150 tokens among 64 short ones would
multiply the work of attention, and the memory. Rows are taken by falling length, until the tokens
of a batch are enough or its padding costs more than another batch.
"""

from __future__ import annotations

import tensorflow as tf

DEFAULT_BATCH_TOKENS = 4096
# How much padding costs as much as another batch, whose weights pass through the caches once more.
# Measured: 32, 128 and 2,000 sentences at LaBSE's size, with 64 to 1,536. A sixteenth of padding is
# let pass as well, so that large batches are not cut in small ones.
_BATCH_COST = 256


def plan(lengths: tf.Tensor, batch_tokens: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Cuts rows into batches.

    Args:
        lengths: int32 [rows], falling.
        batch_tokens: int32, the most tokens of a batch, padding included; a row that is longer
            is a batch of its own.

    Returns:
        int32 [batches]: the row behind the last of each batch; and the width of each.
    """
    rows = tf.size(lengths)
    ends = tf.TensorArray(tf.int32, size=0, dynamic_size=True, element_shape=[])
    widths = tf.TensorArray(tf.int32, size=0, dynamic_size=True, element_shape=[])

    def cut(count, start, ends, widths):
        end, width = next_batch(lengths, start, batch_tokens)
        return count + 1, end, ends.write(count, end), widths.write(count, width)

    _, _, ends, widths = tf.while_loop(
        lambda count, start, *_: start < rows, cut, (0, 0, ends, widths)
    )
    return ends.stack(), widths.stack()


def next_batch(
    lengths: tf.Tensor, start: tf.Tensor, batch_tokens: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The end and the width of the batch that begins with row `start`; see `plan`."""
    width = lengths[start]
    most = tf.maximum(1, batch_tokens // width)
    candidates = lengths[start : start + most]
    padding = tf.cumsum(width - candidates)
    allowed = tf.maximum(_BATCH_COST, width * tf.range(1, tf.size(candidates) + 1) // 16)
    # Once there is too much padding there is too much in all that follow: rows fall in length.
    count = tf.reduce_sum(tf.cast(padding <= allowed, tf.int32))
    # Few different shapes: for each that occurs oneDNN compiles and keeps the attention's matmuls.
    count = tf.where(count > 32, count // 32 * 32, count)
    return start + count, width
