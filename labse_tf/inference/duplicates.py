"""Equal sentences of a stream, which are embedded once.

Those of a window are found by the sentences themselves. Those of earlier windows by a hash, in a
table of a fixed size; their embeddings are read from the result, the array or the .npy file that
they were put into. A cache of embeddings would hold 16,000 of LaBSE's in the memory in which this
table holds two million hashes, and would need rules of what to keep, whereas the result has them
all. To read a row takes microseconds, from a disk less than to embed a sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from labse_tf.files.hashes import digests

SLOTS = 2**21  # of the table, 24 bytes each: 50 MB; a power of 2
MARKS = 2  # of a sentence, see `labse_tf.inference.tokens.Tokens`


class Window(NamedTuple):
    """A window of sentences, each of the different ones once.

    Args:
        new: those to embed, in UTF-8.
        places: int64 [sentences], the number of each among the different ones.
        rows: int64 [different], the row of the result that is its embedding already; -1 of those in
            `new`, which are in the same order.
        marks: bool [different, 2], those of sentences that have a row.
        firsts: int64 [different], the row that each gets, or the first of its rows.
        hashes: uint64 [different, 2]; None of the first window, after which there may be no other.
    """

    new: Sequence[bytes]
    places: np.ndarray
    rows: np.ndarray
    marks: np.ndarray
    firsts: np.ndarray
    hashes: np.ndarray | None


def undivided(sentences: Sequence[bytes]) -> Window:
    """A window of which each sentence is embedded, also where it is equal to another."""
    places = np.arange(len(sentences))
    rows, marks = np.full(len(sentences), -1), np.zeros([len(sentences), MARKS], bool)
    return Window(sentences, places, rows, marks, places, None)


class Duplicates:
    """Finds sentences that have a row already.

    The table has a slot for each value of some bits of the hash; of several sentences the last one
    has it. So it forgets old ones bit by bit: of a million different sentences it has four fifths
    at last, and of a stream without end those of the last two million, more or less. What is
    forgotten is embedded again.

    A run that goes on with the rows of an interrupted one begins with an empty table: whether the
    sentences of those rows are cut, which is counted, would be known only by tokenising them again.

    Args:
        start: the row of the first sentence to come.
        slots: of the table, a power of 2.
    """

    def __init__(self, start: int, slots: int = SLOTS):
        self._next, self._slots = start, slots
        self._last: tuple[Window, np.ndarray] | None = None
        self._table: np.ndarray | None = None  # uint64 [slots, 3]: the hash; the row and the marks

    def window(self, sentences: Sequence[bytes]) -> Window:
        """The next sentences of the stream. `embedded` must have been called with those before."""
        numbers: dict[bytes, int] = {}
        places = np.fromiter(
            (numbers.setdefault(sentence, len(numbers)) for sentence in sentences),
            np.int64,
            len(sentences),
        )
        # Numbers rise where a sentence comes for the first time.
        firsts = np.flatnonzero(np.diff(np.maximum.accumulate(places), prepend=-1)) + self._next
        self._next += len(sentences)
        different = list(numbers)
        rows, marks, hashes = np.full(len(different), -1), np.zeros([len(different), MARKS]), None
        if self._last is not None:  # most calls have a single window: nothing is hashed for them
            self._add(*self._last)
            hashes = digests(different)
            rows, marks = self._find(hashes)
        new = [different[i] for i in np.flatnonzero(rows < 0)]
        return Window(new, places, rows, marks.astype(bool), firsts, hashes)

    def embedded(self, window: Window, marks: np.ndarray) -> None:
        """Says that the new sentences of the window will have rows, and what marks they have.

        Args:
            window: that was returned last.
            marks: bool [new, 2].
        """
        self._last = (window, marks)

    def _find(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        entries = self._table[self._slots_of(hashes)]
        # An empty slot has a hash as well, zero, which no sentence will ever have.
        known = (entries[:, :2] == hashes).all(axis=1)
        values = entries[:, 2].astype(np.int64)
        bits = values[:, np.newaxis] >> np.arange(MARKS) & 1
        return np.where(known, values >> MARKS, -1), bits

    def _add(self, window: Window, marks: np.ndarray) -> None:
        if self._table is None:
            self._table = np.zeros([self._slots, 3], np.uint64)  # memory only where it is written
        new = window.rows < 0
        hashes = digests(window.new) if window.hashes is None else window.hashes[new]
        values = (window.firsts[new] << MARKS) + (marks << np.arange(MARKS)).sum(axis=1)
        # NumPy does not say which of several values for one slot stays, so each has one only.
        slots, chosen = np.unique(self._slots_of(hashes), return_index=True)
        self._table[slots, :2] = hashes[chosen]
        self._table[slots, 2] = values[chosen].astype(np.uint64)

    def _slots_of(self, hashes: np.ndarray) -> np.ndarray:
        return (hashes[:, 0] & np.uint64(self._slots - 1)).astype(np.int64)
