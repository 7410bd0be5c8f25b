"""ShardedRows: rows of arrays that lie in many .npy files, taken by their numbers over all."""

from __future__ import annotations

import os

import numpy as np


class ShardedRows:
    """The rows of files that all have equally many, but the last; numbered over all files.

    Args:
        folder: the work folder.
        pattern: path of a file within it, with `{shard}`, a number.
        shard_rows: rows of a file.
    """

    def __init__(self, folder: str, pattern: str, shard_rows: int):
        self._path = os.path.join(folder, pattern)
        self._shard_rows = shard_rows

    def shard(self, number: int) -> np.ndarray:
        """All rows of one file, mapped and not read.

        Raises:
            FileNotFoundError: it is not there.
        """
        return map_rows(self._path.format(shard=number))

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The rows of some numbers, in their order.

        Args:
            rows: int64 [n], ascending, so that each file is mapped once.

        Returns:
            [n, ...] of the files' dtype.
        """
        if not len(rows):
            return self.shard(0)[:0]
        shards = rows // self._shard_rows
        starts = np.flatnonzero(np.concatenate([[True], shards[1:] != shards[:-1]]))
        parts = []
        for start, end in zip(starts, [*starts[1:], len(rows)]):
            shard = int(shards[start])
            parts.append(self.shard(shard)[rows[start:end] - shard * self._shard_rows])
        return np.concatenate(parts)


def map_rows(path: str) -> np.ndarray:
    """A .npy file as a read-only memory map; without rows as an array: no map is of 0 bytes."""
    try:
        return np.load(path, mmap_mode="r")
    except ValueError:
        rows = np.load(path)
        if rows.size:
            raise
        return rows
