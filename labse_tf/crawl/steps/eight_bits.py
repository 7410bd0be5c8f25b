"""Embeddings in 8 bits: int8 numbers and a float32 scale for each row."""

from __future__ import annotations

import numpy as np

from labse_tf.search import eight_bits


def row_dtype(dim: int) -> np.dtype:
    """Of a row: `scale` float32, `values` int8 [dim]; dim + 4 bytes."""
    return np.dtype([("scale", "<f4"), ("values", "i1", (dim,))])


def to_eight_bits(rows: np.ndarray) -> np.ndarray:
    """As `labse_tf.search.eight_bits.to_eight_bits`, together: `row_dtype(dim)` [rows]."""
    result = np.empty(len(rows), row_dtype(rows.shape[1]))
    result["values"], result["scale"] = eight_bits.to_eight_bits(rows)
    return result


def from_eight_bits(rows: np.ndarray) -> np.ndarray:
    """float32 [rows, dim] of rows with `scale` and `values`."""
    return rows["values"].astype(np.float32) * rows["scale"][:, None]


def as_floats(rows: np.ndarray) -> np.ndarray:
    """float32 or float16 [rows, dim] of embeddings as they are kept: those, or rows of 8 bits."""
    return from_eight_bits(rows) if rows.dtype.names else rows
