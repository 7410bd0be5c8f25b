"""What AdamW keeps of a weight from step to step."""

from __future__ import annotations

import math
from collections.abc import Mapping

import tensorflow as tf

from labse_tf.optimizers.rows import read_rows, write_rows

Slots = Mapping[str, tf.Variable]


def slots_of(variable: tf.Variable, averaged: bool, is_table: bool) -> Slots:
    """New slots of a weight, each where the weight is.

    Args:
        variable: the weight.
        averaged: whether there is a moving average of it.
        is_table: whether its rows have clocks, see `labse_tf.optimizers.adamw.AdamW`.
    """

    def slot(name: str, shape, dtype=tf.float32) -> tf.Variable:
        strategy = tf.distribute.get_strategy()
        with strategy.extended.colocate_vars_with(variable):
            return tf.Variable(
                tf.zeros(shape, dtype), name=f"{variable.name[:-2]}/{name}", trainable=False
            )

    slots = {"m": slot("m", variable.shape), "v": slot("v", variable.shape)}
    if averaged:
        slots["average"] = slot("average", variable.shape)
        slots["average"].assign(variable)
    if is_table:
        rows = variable.shape[:1]
        slots["steps"] = slot("steps", rows)  # the row's clock
        # The run's clock: the sum over its steps of log(1 - rate * decay), and the sum up to
        # which a row is decayed. Terms of 1e-7 and less would be lost in float32.
        slots["decay_sum"] = slot("decay_sum", [], tf.float64)
        slots["decayed"] = slot("decayed", rows, tf.float64)
        if averaged:  # the step up to which a row is averaged
            slots["averaged"] = slot("averaged", rows, tf.int64)
    return slots


def pending_decay(slots: Slots, rows: tf.Tensor) -> tf.Tensor:
    """The decay of all steps since each row was last decayed, now marked as done: [rows, 1]."""
    total = tf.identity(slots["decay_sum"])
    factor = tf.exp(total - read_rows(slots["decayed"], rows))
    write_rows(slots["decayed"], rows, tf.zeros_like(rows, tf.float64) + total)
    return tf.cast(factor, tf.float32)[:, tf.newaxis]


def share_of_step(ema_decay: float, step: tf.Tensor) -> tf.Tensor:
    """Return the share of a step's weights in the moving average, a float32 scalar.

    With decay d, the average after t steps is the mean of their weights with shares in proportion
    to d^(t - s) for step s: the bias correction of Adam, so that nothing remains of the weights
    before the first step. In recursive form, the share of the newest is (1 - d) / (1 - d^t).

    Args:
        ema_decay: The decay d per step, above 0 and below 1.
        step: Number of steps t, from 1.
    """
    return (1 - ema_decay) / _sum_of_shares(ema_decay, step)


def catch_up(
    slots: Slots, rows: tf.Tensor, values: tf.Tensor, step: tf.Tensor, ema_decay: float
) -> None:
    """Update averages up to a step, of rows that kept their values since the last update."""
    before = read_rows(slots["averaged"], rows)
    # The product of 1 - share_of_step over the steps between; 0 if there was no step before.
    retained = tf.math.divide_no_nan(
        _sum_of_shares(ema_decay, before), _sum_of_shares(ema_decay, step)
    )
    retained *= tf.exp(math.log(ema_decay) * tf.cast(step - before, tf.float32))
    retained = retained[:, tf.newaxis]
    average = read_rows(slots["average"], rows)
    write_rows(slots["average"], rows, retained * average + (1 - retained) * values)
    write_rows(slots["averaged"], rows, tf.zeros_like(rows, tf.int64) + step)


def _sum_of_shares(ema_decay: float, steps: tf.Tensor) -> tf.Tensor:
    """Return 1 - ema_decay^steps, exactly for few steps too, float32."""
    return -tf.math.expm1(math.log(ema_decay) * tf.cast(steps, tf.float32))
