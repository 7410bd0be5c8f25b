"""Uniform random samples of streams whose length is not known, in bounded memory."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

import numpy as np

Item = TypeVar("Item")
_HASH_BYTES = 8


class Reservoir(Generic[Item]):
    """A uniform random sample, without replacement, of the items of a stream (Algorithm L).

    The same stream and seed give the same sample, however the stream is divided into blocks. The
    number of random draws grows with `size * log(count / size)`, so that most blocks cost nothing.

    Reference: Kim-Hung Li, "Reservoir-Sampling Algorithms of Time Complexity O(n(1+log(N/n)))",
    ACM TOMS 20(4), 1994.

    Args:
        size: Number of items in the sample; all items if the stream has fewer.
        seed: Seed of the sample, 0 or more.

    Attributes:
        items: The sample. In the order of the stream while it holds the whole stream.
        count: Number of items seen.

    Example:
        >>> reservoir = Reservoir(2)
        >>> reservoir.extend(["a", "b", "c"])
        >>> reservoir.count, len(reservoir.items)
        (3, 2)
    """

    def __init__(self, size: int, seed: int = 0):
        if size < 1:
            raise ValueError(f"`size` (={size}) must be at least 1.")
        self.items: list[Item] = []
        self.count = 0
        self._size = size
        self._rng = np.random.default_rng(seed)
        self._log_threshold = 0.0
        self._next = -1  # Index in the stream of the next item to take, once the sample is full.

    def extend(self, block: Sequence[Item]) -> None:
        """Add the items of a block, in order."""
        start = self.count
        self.count += len(block)
        missing = self._size - len(self.items)
        if missing > 0:
            self.items.extend(block[:missing])
            if len(self.items) < self._size:
                return
            self._next = self._size - 1
            self._skip()
        while self._next < self.count:
            self.items[self._rng.integers(self._size)] = block[self._next - start]
            self._skip()

    def _skip(self) -> None:
        # 1 - random() is in (0, 1], so that the logarithm is finite.
        self._log_threshold += math.log(1 - self._rng.random()) / self._size
        threshold = math.exp(self._log_threshold)
        if threshold == 1:
            self._next += 1
            return
        self._next += 1 + math.floor(math.log(1 - self._rng.random()) / math.log1p(-threshold))


class DistinctReservoir:
    """A uniform random sample of the distinct strings of a stream: those with the lowest hashes.

    Memory holds the sample alone. The order of the stream has no influence.

    Args:
        size: Number of strings in the sample; all distinct strings if the stream has fewer.
        seed: Seed of the sample, 0 or more.

    Example:
        >>> reservoir = DistinctReservoir(2)
        >>> reservoir.extend(["a", "b", "a"])
        >>> sorted(reservoir.items), reservoir.count
        (['a', 'b'], 2)
    """

    def __init__(self, size: int, seed: int = 0):
        if size < 1:
            raise ValueError(f"`size` (={size}) must be at least 1.")
        self._size = size
        self._key = seed.to_bytes(8, "big")
        self._strings: dict[int, str] = {}  # by hash
        self._negated: list[int] = []  # a heap: the highest hash of the sample is on top
        self._is_full = False

    @property
    def items(self) -> list[str]:
        """The sample, in random order."""
        return [self._strings[value] for value in sorted(self._strings)]

    @property
    def count(self) -> int:
        """The number of distinct strings; an estimate if there are more than `size`.

        The estimate's standard error is about 1 / sqrt(size) of the number.
        """
        if not self._is_full:
            return len(self._strings)
        # The k-th lowest of n uniform hashes is at about k / n of their range.
        highest = (1 - self._negated[0]) / 2 ** (8 * _HASH_BYTES)
        return max(self._size + 1, round((self._size - 1) / highest))

    def extend(self, block: Iterable[str]) -> None:
        """Add the strings of a block."""
        for string in block:
            digest = hashlib.blake2b(string.encode(), digest_size=_HASH_BYTES, key=self._key)
            value = int.from_bytes(digest.digest(), "big")
            if (self._is_full and value >= -self._negated[0]) or value in self._strings:
                continue
            if len(self._strings) < self._size:
                heapq.heappush(self._negated, -value)
            else:
                self._is_full = True
                dropped = -heapq.heappushpop(self._negated, -value)
                if dropped == value:
                    continue
                del self._strings[dropped]
            self._strings[value] = string
