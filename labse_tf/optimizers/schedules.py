"""Learning rate schedules."""

from __future__ import annotations

import tensorflow as tf
import tf_keras


@tf_keras.saving.register_keras_serializable(package="labse_tf")
class WarmupLinearDecay(tf_keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly from 0 to `peak` over `warmup_steps`, then falls linearly to 0 at `steps`.

    Args:
        peak: highest learning rate.
        warmup_steps: may be 0.
        steps: length of the run.
        first: step of the run at which this schedule begins, for the later stages of a run: the
            rate rises once more, up to the line on which it falls.

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
        """The rate of the update after `step` finished ones; above 0 before the end."""
        step = tf.cast(step, tf.float32)
        rising = (step + 1.0) / max(1, self.warmup_steps)
        falling = (self.steps - self.first - step) / (self.steps - self.warmup_steps)
        return self.peak * tf.clip_by_value(tf.minimum(rising, falling), 0.0, 1.0)

    def get_config(self) -> dict[str, float | int]:
        """The arguments of the constructor."""
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "steps": self.steps,
            "first": self.first,
        }
