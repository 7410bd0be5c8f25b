"""The softmax over the rows and over the columns of one matrix of logits, and its gradient."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


@tf.custom_gradient
def both_ways(
    rows: tf.Tensor, columns: tf.Tensor, bias: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple]]:
    """The cross entropies of all rows and of all columns, summed; the diagonal is right.

    Of logits L = rows @ columns^T + bias, sum_i (lse_j L_ij - L_ii) + sum_j (lse_i L_ij - L_jj),
    lse the logarithm of the sum of exponentials. With the two softmaxes P (of rows) and Q (of
    columns) the gradient with respect to L is P + Q - 2 I. So three products of matrices do, where
    two losses by themselves take six.

    Args:
        rows, columns: float32 [n, dim].
        bias: float32 [n, n]; gets no gradient.

    Returns:
        float32 scalar.
    """
    logits = tf.matmul(rows, columns, transpose_b=True) + bias
    softmaxes, total = [], -2 * tf.reduce_sum(tf.linalg.diag_part(logits))
    for axis in (1, 0):
        highest = tf.reduce_max(logits, axis=axis, keepdims=True)
        powers = tf.exp(logits - highest)
        sums = tf.reduce_sum(powers, axis=axis, keepdims=True)
        softmaxes.append((powers, sums))
        total += tf.reduce_sum(tf.math.log(sums) + highest)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, None]:
        (of_rows, row_sums), (of_columns, column_sums) = softmaxes
        both = of_rows / row_sums + of_columns / column_sums
        return (
            upstream * (tf.matmul(both, columns) - 2 * columns),
            upstream * (tf.matmul(both, rows, transpose_a=True) - 2 * rows),
            None,
        )

    return total, gradient
