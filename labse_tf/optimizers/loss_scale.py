"""LossScale: the factor that keeps gradients in float16 from vanishing or overflowing."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

FIRST, LEAST, MOST = 2.0**15, 1.0, 2.0**24
GROWTH_STEPS = 2000


class LossScale(tf.Module):
    """Dynamic loss scaling (arXiv 1710.03740, section 3.2).

    float16 has no number between 0 and 6e-8, where many gradients are, and none above 65,504. So
    the gradient of the loss times `scale` is computed, and divided by it in float32. A step whose
    gradients are not finite then is not taken, and halves the scale; `GROWTH_STEPS` good steps in
    a row double it. It stays between 1 and 2^24, powers of two, which round nothing.

    Attributes:
        scale: float32 scalar variable.
        good_steps: int32, the number of good steps since a skipped one, or since the scale grew.
        skipped: int64, the number of steps that were not taken, in all.
        finite: bool, whether the step that is being taken has finite gradients.
    """

    def __init__(self):
        super().__init__(name="loss_scale")

        def scalar(name: str, value: float | int | bool, dtype: tf.DType) -> tf.Variable:
            # Every replica computes the same value, since gradients are summed before.
            return tf.Variable(
                value,
                dtype=dtype,
                name=f"loss_scale/{name}",
                trainable=False,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )

        self.scale = scalar("scale", FIRST, tf.float32)
        self.good_steps = scalar("good_steps", 0, tf.int32)
        self.skipped = scalar("skipped", 0, tf.int64)
        self.finite = scalar("finite", True, tf.bool)

    def unscaled(
        self, gradients: Sequence[tf.Tensor | tf.IndexedSlices]
    ) -> list[tf.Tensor | tf.IndexedSlices]:
        """Gradients of the scaled loss -> those of the loss."""
        factor = 1.0 / self.scale
        return [
            tf.IndexedSlices(g.values * factor, g.indices, g.dense_shape)
            if isinstance(g, tf.IndexedSlices)
            else g * factor
            for g in gradients
        ]

    def record(self, norm: tf.Tensor) -> None:
        """Sets whether a step is taken, and the scale of the next one.

        Args:
            norm: the global norm of the step's gradients, summed over replicas: not finite if any
                number of them is not.
        """
        finite = tf.math.is_finite(norm)
        good = tf.where(finite, self.good_steps + 1, 0)
        grows = good >= GROWTH_STEPS
        factor = tf.where(finite, tf.where(grows, 2.0, 1.0), 0.5)
        self.finite.assign(finite)
        self.good_steps.assign(tf.where(grows, 0, good))
        self.skipped.assign_add(tf.cast(~finite, tf.int64))
        self.scale.assign(tf.clip_by_value(self.scale * factor, LEAST, MOST))
