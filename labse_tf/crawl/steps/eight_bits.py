"""Embeddings in 8 bits: int8 numbers and a float32 scale for each row."""

from __future__ import annotations

import numpy as np

_LARGEST = 127


def row_dtype(dim: int) -> np.dtype:
    """Of a row: `scale` float32, `values` int8 [dim]; dim + 4 bytes."""
    return np.dtype([("scale", "<f4"), ("values", "i1", (dim,))])


def to_eight_bits(rows: np.ndarray) -> np.ndarray:
    """Rounds rows to 8 bits: by half a scale at most, which is the largest number's 1/127.

    Args:
        rows: float32 or float16 [rows, dim], finite.

    Returns:
        `row_dtype(dim)` [rows].
    """
    rows = rows.astype(np.float32)
    result = np.empty(len(rows), row_dtype(rows.shape[1]))
    largest = np.abs(rows).max(axis=1, initial=0)
    result["scale"] = np.where(largest > 1e-30, largest / np.float32(_LARGEST), 1)
    result["values"] = np.rint(rows / result["scale"][:, None])
    return result


def from_eight_bits(rows: np.ndarray) -> np.ndarray:
    """float32 [rows, dim] of rows with `scale` and `values`."""
    return rows["values"].astype(np.float32) * rows["scale"][:, None]


def as_floats(rows: np.ndarray) -> np.ndarray:
    """float32 or float16 [rows, dim] of embeddings as they are kept: those, or rows of 8 bits."""
    return from_eight_bits(rows) if rows.dtype.names else rows
