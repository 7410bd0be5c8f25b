"""Gradients prepared for the optimizer: summed over replicas, clipped, dense or by row."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


def dense(gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> tf.Tensor:
    """A gradient as a dense tensor of static shape, as TPUs need."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    return tf.math.unsorted_segment_sum(gradient.values, gradient.indices, variable.shape[0])


def distinct_rows(gradient: tf.IndexedSlices) -> tf.IndexedSlices:
    """The same gradient with distinct rows: TensorFlow's has one for each occurrence of a word."""
    rows, places = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


def sum_over_replicas(
    gradients: Sequence[tf.Tensor | tf.IndexedSlices],
) -> list[tf.Tensor | tf.IndexedSlices]:
    """The gradients' sums over replicas, IndexedSlices with distinct rows; in replica context."""
    gradients = [distinct_rows(g) if isinstance(g, tf.IndexedSlices) else g for g in gradients]
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1:
        return gradients
    gradients = replica.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    return [distinct_rows(g) if isinstance(g, tf.IndexedSlices) else g for g in gradients]


def clip_by_global_norm(
    gradients: Sequence[tf.Tensor | tf.IndexedSlices], clip_norm: float
) -> tuple[list[tf.Tensor | tf.IndexedSlices], tf.Tensor]:
    """Scales gradients down to a global norm of at most `clip_norm`; 0 leaves them as they are.

    They must be those of the global batch, from `sum_over_replicas`: clipping each replica's
    gradients before the sum gives another direction.

    Returns:
        The gradients, and their global norm before clipping, a float32 scalar.
    """
    norm = tf.linalg.global_norm(gradients)
    if not clip_norm:
        return list(gradients), norm
    # A norm of NaN makes all gradients NaN, so that a failed step is noticed.
    scale = clip_norm / tf.maximum(norm, clip_norm)
    clipped = [
        tf.IndexedSlices(g.values * scale, g.indices, g.dense_shape)
        if isinstance(g, tf.IndexedSlices)
        else g * scale
        for g in gradients
    ]
    return clipped, norm
