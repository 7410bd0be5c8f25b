"""take_step: from a replica's gradients to changed weights, for every training alike."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from labse_tf.optimizers.gradients import clip_by_global_norm, sum_over_replicas
from labse_tf.optimizers.loss_scale import LEAST


def take_step(
    optimizer: tf_keras.optimizers.Optimizer,
    gradients: Sequence[tf.Tensor | tf.IndexedSlices],
    variables: Sequence[tf.Variable],
    clip_norm: float,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Sums gradients over replicas, clips them and applies them; in replica context.

    Args:
        optimizer: any; an AdamW with a loss scale may skip the step.
        gradients: a replica's, of its share of the global loss times `loss_scale_of(optimizer)`.
        variables: what they are of.
        clip_norm: see `clip_by_global_norm`.

    Returns:
        Two float32 scalars: the global norm before clipping, without the scale, and its weight in
        a mean over steps, 0 for a skipped step. One that was skipped with the lowest scale has a
        weight of 1 and its norm, not finite: that is not the scale's fault.
    """
    gradients, weight = sum_over_replicas(gradients), tf.constant(1.0)
    loss_scale = getattr(optimizer, "loss_scale", None)
    if loss_scale is not None:
        gradients = loss_scale.unscaled(gradients)
    gradients, norm = clip_by_global_norm(gradients, clip_norm)
    if loss_scale is not None:
        counts = tf.math.is_finite(norm) | (loss_scale.scale <= LEAST)
        loss_scale.record(norm)
        norm, weight = tf.where(counts, norm, 0.0), tf.cast(counts, tf.float32)
    optimizer.apply_gradients(
        zip(gradients, variables, strict=True), skip_gradients_aggregation=True
    )
    return norm, weight


def loss_scale_of(optimizer: tf_keras.optimizers.Optimizer) -> tf.Tensor | None:
    """What a loss is multiplied by before it is differentiated; None: nothing."""
    loss_scale = getattr(optimizer, "loss_scale", None)
    return None if loss_scale is None else tf.identity(loss_scale.scale)
