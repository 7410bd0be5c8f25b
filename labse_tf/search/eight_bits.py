"""Rows of embeddings rounded to 8 bits, with a scale each."""

from __future__ import annotations

import numpy as np

_LARGEST = 127


def to_eight_bits(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and scales whose products are the rows, but for half a scale at most.

    Args:
        rows: float32 or float16 [rows, dim], finite.

    Returns:
        int8 [rows, dim]; and float32 [rows], a row's largest number divided by 127, or 1 for a row
        that is nothing but zeros.
    """
    rows = rows.astype(np.float32, copy=False)
    largest = np.abs(rows).max(axis=1, initial=0)
    scales = np.where(largest > 1e-30, largest / np.float32(_LARGEST), 1).astype(np.float32)
    return np.rint(rows / scales[:, None]).astype(np.int8), scales
