"""The learning rate's course, and gradients made ready for the optimizer."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
import tf_keras


class WarmupLinearDecay(tf_keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly from 0 to `peak` over `warmup_steps`, then falls linearly to 0 at `steps`.

    Args:
        peak: highest learning rate.
        warmup_steps: may be 0.
        steps: length of the run.
        first: step of the run that this schedule begins with, if it is that of a later stage: the
            rate rises once more, to where it would have fallen to.

    Raises:
        ValueError: `warmup_steps` is not below `steps`.
    """

    def __init__(self, peak: float, warmup_steps: int, steps: int, first: int = 0):
        if not 0 <= warmup_steps < steps:
            raise ValueError(
                f"`warmup_steps` (={warmup_steps}) must be at least 0 and below `steps` (={steps})."
            )
        self.peak, self.warmup_steps, self.steps, self.first = peak, warmup_steps, steps, first

    def __call__(self, step: tf.Tensor | int) -> tf.Tensor:
        """The rate of the update that follows `step` finished ones; never 0 before the end."""
        step = tf.cast(step, tf.float32)
        rising = (step + 1.0) / max(1, self.warmup_steps)
        falling = (self.steps - self.first - step) / (self.steps - self.warmup_steps)
        return self.peak * tf.clip_by_value(tf.minimum(rising, falling), 0.0, 1.0)

    def get_config(self) -> dict[str, float | int]:
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "steps": self.steps,
            "first": self.first,
        }


def dense(gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> tf.Tensor:
    """The gradient of all rows of a table; of static shape, as TPUs need."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    return tf.math.unsorted_segment_sum(gradient.values, gradient.indices, variable.shape[0])


def distinct_rows(gradient: tf.IndexedSlices) -> tf.IndexedSlices:
    """The same gradient with each row once: a word's stands in it as often as the word occurs."""
    rows, places = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


def sum_over_replicas(
    gradients: Sequence[tf.Tensor | tf.IndexedSlices],
) -> list[tf.Tensor | tf.IndexedSlices]:
    """Each gradient's sum over all replicas, rows of IndexedSlices once; in replica context."""
    gradients = [distinct_rows(g) if isinstance(g, tf.IndexedSlices) else g for g in gradients]
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1:
        return gradients
    gradients = replica.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    return [distinct_rows(g) if isinstance(g, tf.IndexedSlices) else g for g in gradients]


def clip_by_global_norm(
    gradients: Sequence[tf.Tensor | tf.IndexedSlices], clip_norm: float
) -> tuple[list[tf.Tensor | tf.IndexedSlices], tf.Tensor]:
    """Shortens gradients that are longer than `clip_norm` together; 0 leaves them as they are.

    They must be those of the whole global batch, as `sum_over_replicas` gives them: clipping each
    replica's alone gives another direction.

    Returns:
        The gradients, and the norm that they had, a float32 scalar.
    """
    norm = tf.linalg.global_norm(gradients)
    if not clip_norm:
        return list(gradients), norm
    # A norm that is no number stays one: the step shall be seen to have failed.
    scale = clip_norm / tf.maximum(norm, clip_norm)
    clipped = [
        tf.IndexedSlices(g.values * scale, g.indices, g.dense_shape)
        if isinstance(g, tf.IndexedSlices)
        else g * scale
        for g in gradients
    ]
    return clipped, norm
