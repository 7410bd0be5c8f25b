"""The learning rate's course, and AdamW as BERT uses it."""

from __future__ import annotations

import tensorflow as tf
import tf_keras


class WarmupLinearDecay(tf_keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly from 0 to `peak` over `warmup_steps`, then falls linearly to 0 at `steps`.

    Args:
        peak: highest learning rate.
        warmup_steps: may be 0.
        steps: length of the run.

    Raises:
        ValueError: `warmup_steps` is not below `steps`.
    """

    def __init__(self, peak: float, warmup_steps: int, steps: int):
        if not 0 <= warmup_steps < steps:
            raise ValueError(
                f"`warmup_steps` (={warmup_steps}) must be at least 0 and below `steps` (={steps})."
            )
        self.peak, self.warmup_steps, self.steps = peak, warmup_steps, steps

    def __call__(self, step: tf.Tensor | int) -> tf.Tensor:
        """The rate of the update that follows `step` finished ones; never 0 before the end."""
        step = tf.cast(step, tf.float32)
        rising = (step + 1.0) / max(1, self.warmup_steps)
        falling = (self.steps - step) / (self.steps - self.warmup_steps)
        return self.peak * tf.clip_by_value(tf.minimum(rising, falling), 0.0, 1.0)

    def get_config(self) -> dict[str, float | int]:
        return {"peak": self.peak, "warmup_steps": self.warmup_steps, "steps": self.steps}


def adamw(
    learning_rate: float | tf_keras.optimizers.schedules.LearningRateSchedule,
    weight_decay: float,
    clip_norm: float,
) -> tf_keras.optimizers.Optimizer:
    """AdamW with BERT's epsilon, decay on matrices alone, and clipping by the global norm.

    Args:
        learning_rate: a number or a schedule.
        weight_decay: share of a weight that is subtracted a step, times the learning rate; biases
            and layer norms are left out. 0 gives plain Adam, which is the same and cheaper.
        clip_norm: longest gradient, over all weights, after the sum over replicas; 0 for none.
    """
    options = {"epsilon": 1e-6, "global_clipnorm": clip_norm or None}
    if not weight_decay:
        return tf_keras.optimizers.Adam(learning_rate, **options)
    optimizer = tf_keras.optimizers.AdamW(learning_rate, weight_decay, **options)
    optimizer.exclude_from_weight_decay(var_names=["bias", "layer_norm"])
    return optimizer
