"""Schedules of the learning rate."""

from __future__ import annotations

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
