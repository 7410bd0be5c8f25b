"""The state of a long search in a file, from which an interrupted one goes on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

import numpy as np

from labse_tf.files.atomic import atomic_file

EVERY = 300.0  # seconds


class SearchState:
    """Arrays of a search, written to a file from time to time.

    Args:
        path: of the file; None to keep nothing.
        every: seconds between two writes.

    Example:
        >>> state = SearchState("state.npz")
        >>> begun = state.read()  # None, or what was written last
        >>> state.write(lambda: {"next": np.array(5), "scores": scores})
    """

    def __init__(self, path: str | os.PathLike | None = None, every: float = EVERY):
        self._path, self._every = path, every
        self._last = time.monotonic()

    def read(self) -> dict[str, np.ndarray] | None:
        """What was written last, if anything was."""
        if self._path is None or not os.path.exists(self._path):
            return None
        with np.load(self._path) as arrays:
            return dict(arrays)

    def write(self, arrays: Callable[[], Mapping[str, np.ndarray]]) -> None:
        """Writes what `arrays` gives, if it is time to."""
        if self._path is None or time.monotonic() - self._last < self._every:
            return
        with atomic_file(self._path, "wb") as file:
            np.savez(file, **arrays())
        self._last = time.monotonic()
