"""The loss scale by hand, and steps that it skips."""

import math

import numpy as np
import pytest
import tensorflow as tf

from labse_tf.optimizers import loss_scale
from labse_tf.optimizers.adamw import AdamW
from labse_tf.optimizers.loss_scale import LossScale
from labse_tf.optimizers.steps import take_step

nan, inf = math.nan, math.inf


def test_the_scale_by_hand(monkeypatch):
    """Doubled after 3 good steps in a row, halved after each other one; from 1 to 2^24."""
    monkeypatch.setattr(loss_scale, "GROWTH_STEPS", 3)
    scale, seen = LossScale(), []
    for norm in (1.0, 2.0, inf, 1.0, 1.0, 1.0, 1.0, nan):
        scale.record(tf.constant(norm))
        seen.append((float(np.log2(scale.scale)), int(scale.good_steps), bool(scale.finite)))
    assert seen == [
        (15, 1, True), (15, 2, True), (14, 0, False),
        (14, 1, True), (14, 2, True), (15, 0, True), (15, 1, True), (14, 0, False),
    ]  # fmt: skip
    assert int(scale.skipped) == 2
    for norm, exponent in ((inf, 0), (1.0, 24)):
        for _ in range(90):
            scale.record(tf.constant(norm))
        assert float(np.log2(scale.scale)) == exponent


def test_gradients_are_unscaled():
    scale = LossScale()
    sparse = tf.IndexedSlices(tf.fill([1, 2], 2.0**15), tf.constant([3]), tf.constant([5, 2]))
    dense, rows = scale.unscaled([tf.constant([2.0**16, -(2.0**14)]), sparse])
    np.testing.assert_array_equal(dense, [2.0, -0.5])
    np.testing.assert_array_equal(rows.values, [[1.0, 1.0]])
    np.testing.assert_array_equal(rows.indices, [3])


class Training:
    """A table and a dense weight, whose gradients are given."""

    def __init__(self):
        self.table, self.dense = tf.Variable(tf.ones([4, 2]), name="table"), tf.Variable(tf.ones(3))
        self.optimizer = AdamW(0.1, 0.1, ema_decay=0.5, tables=["table"], loss_scaling=True)
        self.optimizer.build([self.table, self.dense])
        self.step = tf.function(self._step)

    def _step(self, rows, values, dense):
        scale = self.optimizer.loss_scale.scale
        of_table = tf.IndexedSlices(values * scale, rows, tf.constant([4, 2]))
        gradients = [of_table, dense * scale]
        return take_step(self.optimizer, gradients, [self.table, self.dense], 0.5)

    def take(self, row, value):
        norm, weight = self.step(
            tf.constant([row]), tf.fill([1, 2], value), tf.fill([3], tf.constant(value))
        )
        return float(norm), float(weight)

    def state(self):
        """Weights, moments, averages and clocks, all settled."""
        self.optimizer.settle()
        slots = [slot.numpy() for slots in self.optimizer._slots for slot in slots.values()]
        return [self.table.numpy(), self.dense.numpy(), *slots]


@pytest.mark.parametrize("bad", [inf, nan])
def test_a_skipped_step_changes_nothing(bad):
    """Also for what is lazy: row 2 has no gradient in the last steps, and row 3 never one."""
    skipping, plain = Training(), Training()
    for row, value in ((0, 1.0), (2, -0.5), (1, bad), (0, 0.25), (3, bad), (1, 2.0)):
        norm, weight = skipping.take(row, value)
        assert weight == math.isfinite(value)
        assert norm == pytest.approx(abs(value) * 5**0.5 if weight else 0)  # 5 equal numbers
        if weight:
            plain.take(row, value)
    assert (int(skipping.optimizer.iterations), int(plain.optimizer.iterations)) == (6, 4)
    for a, b in zip(skipping.state(), plain.state(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert float(skipping.optimizer.loss_scale.scale) == 2.0**13


def test_what_no_scale_can_mend():
    """With the lowest scale the norm is what is reported, and so ends the run."""
    training = Training()
    training.optimizer.loss_scale.scale.assign(1.0)
    before = training.state()
    norm, weight = training.take(0, inf)
    assert not math.isfinite(norm) and weight == 1
    for a, b in zip(training.state(), before, strict=True):
        np.testing.assert_array_equal(a, b)
