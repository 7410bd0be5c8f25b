"""Rounding of kernels and inputs against closed forms and against products in float64."""

import numpy as np
import pytest

from labse_tf.openvino import rounding
from labse_tf.openvino.rounding import choose_steps, round_kernel


def inputs_with(rng, count, width, common):
    """Rows that go together: few directions have most of the variance."""
    directions = rng.standard_normal([width // 8, width])
    return rng.standard_normal([count, width // 8]) @ directions * common + rng.standard_normal(
        [count, width]
    )


def error(kernel, rounded, rows):
    return np.square((kernel - rounded) @ rows.T).mean()


def test_of_inputs_that_have_nothing_in_common_each_number_is_rounded_by_itself():
    kernel = np.random.default_rng(0).standard_normal([5, 130]).astype(np.float32)
    numbers, scales = round_kernel(kernel, np.eye(130))
    np.testing.assert_allclose(scales, np.abs(kernel).max(axis=1) / 127, rtol=1e-6)
    np.testing.assert_array_equal(numbers, np.rint(kernel / scales[:, None]))


def test_two_inputs_by_hand():
    # The input of the larger moment is rounded first: 31.4 -> 31. What that changes, 0.4, is made
    # up for by the second: with x2's best guess of x1, H12 / H22 = 3 / 2.05 (the damping is a
    # hundredth of (8 + 2) / 2), 20.2 becomes 20.2 + 0.4 * 3 / 2.05 = 20.785, so 21.
    kernel = np.array([[31.4, 20.2, 127]], np.float32)
    moments = np.array([[8, 3, 0], [3, 2, 0], [0, 0, 5]], float)
    damping = 0.01 * (8 + 2 + 5) / 3
    second = 20.2 + 0.4 * 3 / (2 + damping)
    numbers, scales = round_kernel(kernel, moments)
    assert scales[0] == 1 and round(second) == 21
    np.testing.assert_array_equal(numbers, [[31, 21, 127]])


def test_products_change_less_than_by_rounding_each_number():
    rng = np.random.default_rng(1)
    rows = inputs_with(rng, 2000, 192, common=2)
    kernel = rng.standard_normal([64, 192]).astype(np.float32)
    numbers, scales = round_kernel(kernel, rows[:1000].T @ rows[:1000] / 1000)
    assert np.abs(numbers.astype(int)).max() <= 127
    plain = np.rint(kernel / scales[:, None]) * scales[:, None]
    # On inputs that were not seen, too.
    for part in (rows[:1000], rows[1000:]):
        assert error(kernel, numbers * scales[:, None], part) < 0.4 * error(kernel, plain, part)


def test_the_factor_is_of_the_inverse():
    """In halves of odd sizes too, against the inverse of the whole matrix."""
    rows = inputs_with(np.random.default_rng(3), 500, 201, common=2)
    moments = rows.T @ rows / 500
    damped = moments + 0.01 * np.mean(np.diag(moments)) * np.eye(201)
    factor = rounding._factor(moments)
    np.testing.assert_array_equal(factor, np.triu(factor))
    expected = np.linalg.inv(damped)
    error = np.abs(factor.T.astype(np.float64) @ factor - expected).max()
    assert error < 1e-5 * np.abs(expected).max()


def test_rows_of_zeros_and_inputs_of_zeros():
    numbers, scales = round_kernel(np.zeros([2, 3], np.float32), np.zeros([3, 3]))
    assert not numbers.any() and np.isfinite(scales).all()
    steps = choose_steps(np.zeros(3), np.zeros(3), np.zeros(3), np.zeros([2, 3], np.float32))
    assert np.isfinite(steps).all() and (steps > 0).all()


def rounded_products(rows, kernel, low, high, steps):
    centre = (low + high) / 2
    numbers = np.clip(np.rint((rows - centre) / steps), -128, 127)
    scales = np.abs(kernel * steps).max(axis=1, keepdims=True) / 127
    rounded = np.rint(kernel * steps / scales) * scales
    return numbers @ rounded.T + kernel @ centre


@pytest.mark.parametrize("outliers", [1, 100])
def test_steps_are_the_best_of_their_kind(monkeypatch, outliers):
    """With inputs of one size, and with some that are a hundred times as large."""
    rng = np.random.default_rng(2)
    kernel = rng.standard_normal([64, 96]).astype(np.float32)
    rows = rng.standard_normal([4000, 96]) * np.where(np.arange(96) < 3, outliers, 1)
    rows += rng.standard_normal(96)
    low, high = rows.min(axis=0), rows.max(axis=0)
    variance = np.square(rows - (low + high) / 2).mean(axis=0)

    def measured(exponents):
        monkeypatch.setattr(rounding, "_EXPONENTS", exponents)
        steps = choose_steps(low, high, variance, kernel)
        found = rounded_products(rows, kernel, low, high, steps)
        return np.square(found - rows @ kernel.T).mean()

    each = [measured([exponent]) for exponent in (0.5, 0.75, 1.0)]
    assert measured([0.5, 0.75, 1.0]) == min(each) < 0.9 * max(each)
