"""Rows of embeddings in files: float32, float16, or int8 with a scale each; or some of them."""

from __future__ import annotations

import mmap
import os

import numpy as np

from labse_tf.search.eight_bits import to_eight_bits

_SCALE_BYTES = 4


class Int8Rows:
    """int8 rows with a float32 scale each, read as float32 rows, as if they were an array.

    A row is dim numbers, then the 4 bytes of its scale, so that a file of them grows by whole rows.

    Args:
        stored: int8 [rows, dim + 4].
    """

    ndim, dtype = 2, np.dtype(np.float32)

    def __init__(self, stored: np.ndarray):
        self.stored = stored
        self.shape = len(stored), stored.shape[1] - _SCALE_BYTES

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        return _dequantized(self.stored[rows])

    def take(self, indices: np.ndarray, axis: int = 0, out=None, mode: str = "raise") -> np.ndarray:
        """As np.take of the first axis, which calls it."""
        return _dequantized(np.take(self.stored, indices, axis=axis, mode=mode))


class SelectedRows:
    """Some rows of an array, read when they are used, as if they were an array.

    Args:
        stored: float32 or float16 [lines, dim], for example a memory map.
        indices: int64 [rows], the lines of the rows.
    """

    ndim = 2

    def __init__(self, stored: np.ndarray, indices: np.ndarray):
        self.stored, self._indices = stored, indices
        self.shape, self.dtype = (len(indices), stored.shape[1]), stored.dtype

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        return np.take(self.stored, self._indices[rows], axis=0)

    def take(self, indices: np.ndarray, axis: int = 0, out=None, mode: str = "raise") -> np.ndarray:
        """Return rows as `np.take` along the first axis, which calls this method."""
        return np.take(self.stored, np.take(self._indices, indices, mode=mode), axis=axis)


Rows = np.ndarray | Int8Rows | SelectedRows


def stored_form(rows: np.ndarray, dtype: str) -> np.ndarray:
    """Rows as a file has them: float32 [rows, dim] to [rows, `stored_width`] of `dtype`."""
    if dtype != "int8":
        return rows.astype(dtype, copy=False)
    numbers, scales = to_eight_bits(rows)
    return np.concatenate([numbers, scales[:, None].view(np.int8)], axis=1)


def stored_width(dim: int, dtype: str) -> int:
    """Numbers of a stored row."""
    return dim + _SCALE_BYTES if dtype == "int8" else dim


def open_rows(path: str | os.PathLike) -> np.ndarray | Int8Rows:
    """A file of `stored_form` as a memory map."""
    stored = np.load(path, mmap_mode="r")
    return Int8Rows(stored) if stored.dtype == np.int8 else stored


def forget_pages(rows: Rows) -> None:
    """Gives the memory of a map's pages that were read back; they stay in the system's cache."""
    mapped = getattr(getattr(rows, "stored", rows), "_mmap", None)
    if mapped is not None and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _dequantized(stored: np.ndarray) -> np.ndarray:
    numbers, scales = stored[..., :-_SCALE_BYTES], stored[..., -_SCALE_BYTES:]
    return numbers * np.ascontiguousarray(scales).view(np.float32)
