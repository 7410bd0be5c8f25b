"""How the inputs and the kernel of a linear layer are rounded to 8 bits.

An input x of a layer is rounded by channel, to round((x - centre) / step): so that channels with
large numbers do not take the bits of the others, and what all inputs have in common, the centre,
goes into the bias without rounding. The kernel, times the steps, has a scale for each output.
"""

from __future__ import annotations

import numpy as np

from labse_tf.openvino.kernels import LARGEST

# How much wider than what was seen a range is taken, which is at least that of the middle channel:
# channels that seldom leave zero, as behind GELU, are seen too small, by up to eight times. At
# LaBSE's size (random weights), 1.2 times, and at least half the middle one, cost 0.0017 of the
# lowest cosine; 1.5 times cost 0.00004 of the mean.
_MARGIN = 1.35
# How much of a channel's range its step takes; what is left, the kernel's column does (SmoothQuant,
# arXiv 2211.10438, equation 4). Which is best depends on the outliers.
_EXPONENTS = (0.5, 0.75, 1.0)
_DAMPING = 0.01  # of the mean of the moments' diagonal, as in GPTQ
_SMALLEST_FACTOR = 64  # columns that are factorized at once
_BLOCK = 64  # columns that are rounded before the ones behind them are corrected


def choose_steps(
    low: np.ndarray, high: np.ndarray, variance: np.ndarray, kernel: np.ndarray
) -> np.ndarray:
    """The step of each input, float32 [inputs], by which the outputs' expected error is least.

    The error of a number rounded in steps of s is uniform, of variance s^2 / 12.

    Args:
        low, high: [inputs], the ends of their ranges.
        variance: [inputs], the mean of their squared distances from the ranges' middles.
        kernel: [outputs, inputs].
    """
    ranges = (high - low) / 2
    middle = float(np.median(ranges)) or float(ranges.max()) or 1.0
    ranges = np.maximum(ranges, middle) * _MARGIN
    columns = np.maximum(np.abs(kernel).max(axis=0), 1e-12)
    best, least = None, np.inf
    for exponent in _EXPONENTS:
        shares = ranges**exponent / columns ** (1 - exponent)
        steps = shares * ((ranges / shares).max() / LARGEST)
        error = (steps**2 * (kernel**2).sum(axis=0)).sum()
        scales = np.abs(kernel * steps).max(axis=1) / LARGEST
        error += (scales**2).sum() * (variance / steps**2).sum()
        if error < least:
            best, least = steps, error
    return best.astype(np.float32)


def round_kernel(kernel: np.ndarray, moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rounds a kernel to 8 bits such that its products with inputs like those seen change least.

    GPTQ (Frantar et al. 2022, arXiv 2210.17323): column by column, and what a column's rounding
    changes is made up for by the columns behind it, as far as their inputs go together.

    Args:
        kernel: float32 [outputs, inputs].
        moments: [inputs, inputs], the mean of the inputs' outer products with themselves.

    Returns:
        int8 [outputs, inputs], and float32 [outputs], the scale of each row.
    """
    order = np.argsort(-np.diag(moments), kind="stable")  # what matters most is rounded first
    # Columns are rows here, so that each lies in memory as one piece.
    rest = np.ascontiguousarray(kernel[:, order].T, np.float32)
    factor = _factor(moments[np.ix_(order, order)].astype(np.float64))
    largest = np.abs(rest).max(axis=0)
    scales = np.where(largest > 0, largest / LARGEST, 1).astype(np.float32)
    numbers = np.empty(rest.shape, np.int8)
    for start in range(0, len(rest), _BLOCK):
        end = min(start + _BLOCK, len(rest))
        block, errors = rest[start:end], np.empty([end - start, len(scales)], np.float32)
        own = factor[start:end, start:end]
        for i in range(len(block)):
            rounded = np.clip(np.rint(block[i] / scales), -LARGEST, LARGEST)
            numbers[start + i] = rounded
            errors[i] = (block[i] - rounded * scales) / own[i, i]
            block[i + 1 :] -= own[i, i + 1 :, np.newaxis] * errors[i]
        rest[end:] -= factor[start:end, end:].T @ errors
    in_order = np.empty(kernel.shape, np.int8)
    in_order[:, order] = numbers.T
    return in_order, scales


def _factor(moments: np.ndarray) -> np.ndarray:
    """Return the upper Cholesky factor of the inverse, float32.

    It is the inverse of the lower factor of the matrix with its rows and columns in reverse order,
    reversed again.
    """
    diagonal = np.diag_indices_from(moments)
    moments[diagonal] += _DAMPING * np.mean(moments[diagonal]) or 1.0
    return _inverse_of_factor(moments[::-1, ::-1])[::-1, ::-1].astype(np.float32)


def _inverse_of_factor(matrix: np.ndarray) -> np.ndarray:
    """Return the inverse of the lower Cholesky factor of a positive definite matrix.

    By halves, so that nearly all of the work is in matrix products: NumPy's Cholesky factorization
    and inverse of 3,072 columns take 11 s on two cores.
    """
    if len(matrix) <= _SMALLEST_FACTOR:
        return np.tril(np.linalg.inv(np.linalg.cholesky(matrix)))
    half = len(matrix) // 2
    first = _inverse_of_factor(matrix[:half, :half])
    below = matrix[half:, :half] @ first.T
    last = _inverse_of_factor(matrix[half:, half:] - below @ below.T)
    inverse = np.zeros_like(matrix)
    inverse[:half, :half], inverse[half:, half:] = first, last
    inverse[half:, :half] = -last @ (below @ first)
    return inverse
