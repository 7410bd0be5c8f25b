"""Rows rounded to the precision of a tile, and how far that can be off."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

READ = 16_384  # rows checked or rounded at a time


class Rounding:
    """Rounds rows to the precision of a tile, and bounds the error of their scores."""

    def __init__(self, precision: str):
        self.dtype = tf.as_dtype(precision)
        # Largest norms of a candidate and of its rounding error.
        self.largest: tuple[float, float] = (0.0, 0.0)
        self._tensor_float = bool(tf.config.list_physical_devices("GPU")) and (
            tf.config.experimental.tensor_float_32_execution_enabled()
        )

    def queries(self, rows: np.ndarray) -> tf.Tensor:
        return tf.cast(tf.constant(rows), self.dtype)

    def candidates(self, rows: np.ndarray) -> tf.Tensor:
        rounded = []
        for start in range(0, len(rows), READ):
            part = rows[start : start + READ]
            norms, errors = self._norms(part)
            largest = float(norms.max()), float(errors.max())
            self.largest = tuple(map(max, self.largest, largest))
            rounded.append(tf.cast(tf.constant(part), self.dtype))
        return tf.concat(rounded, axis=0)

    def upper_bounds(self, scores: np.ndarray, queries: np.ndarray) -> np.ndarray:
        """Upper bounds of the exact products whose rounded ones are at most `scores`: [queries].

        With q' for q rounded, q.c - q'.c' = (q - q').c + q'.(c - c'), each at most the product of
        the norms. The sum of the products loses at most one float32 epsilon for each of them, and
        a bfloat16 result at most half a unit in the last place, of 8 bits.
        """
        bounds, (norm, error) = np.empty(len(queries)), self.largest
        for start in range(0, len(queries), READ):
            norms, errors = self._norms(queries[start : start + READ])
            inputs = errors * norm + (norms + errors) * error
            sums = 2.0**-23 * queries.shape[1] * norms * norm
            bounds[start : start + READ] = inputs + sums
        if self.dtype == tf.bfloat16:
            bounds += 2.0 ** (np.frexp(scores)[1] - 9.0)
        return scores + bounds

    def _norms(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of rows, and of their rounding errors: float64 [rows] each."""
        rows = tf.cast(tf.constant(rows), tf.float32)
        norms = tf.norm(rows, axis=1).numpy().astype(np.float64)
        if self.dtype == tf.float32:  # TensorFloat-32 has 11 bits
            return norms, norms * (2.0**-11 if self._tensor_float else 0)
        lost = rows - tf.cast(tf.cast(rows, self.dtype), tf.float32)
        return norms, tf.norm(lost, axis=1).numpy().astype(np.float64)
