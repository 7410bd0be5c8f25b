"""The local engine, and what an engine is: a `map` of a function over items, and their progress.

An engine knows no stage. A function is one of a module (it is pickled for other processes), its
items are independent of each other, and what it returns is small: files carry what is large.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from labse_tf.progress_bars import progress_bar

_log = logging.getLogger(__name__)


class Engine(Protocol):
    """Attributes: name, "local" or "spark"; threads of TensorFlow in each process, 0 for all."""

    name: str
    threads: int

    def map(self, function: Callable, items: Sequence[Any], what: str) -> list[Any]:
        """[function(item) for item in items]; an exception of one is raised here."""


class LocalEngine:
    """Does everything in this process, one item after the other; without Java.

    Args:
        threads: of TensorFlow; 0 for all cores. The bytes of a result are the same on every
            engine, if the threads are.
        show_progress: whether to draw a bar on stderr; None: if it is a terminal.
    """

    name = "local"

    def __init__(self, threads: int = 0, show_progress: bool | None = None):
        self.threads = threads
        self._show_progress = show_progress

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *error) -> None:
        """Nothing to leave."""

    def map(self, function: Callable, items: Sequence[Any], what: str) -> list[Any]:
        """See `Engine`."""
        set_threads(self.threads)
        with progress_bar(items, show=self._show_progress, desc=what, leave=False) as bar:
            return [function(item) for item in bar]


@functools.cache  # a process says it once
def set_threads(threads: int) -> None:
    """Has TensorFlow compute with so many threads in this process; 0: with all cores.

    Where TensorFlow runs already, as within another program, its threads stay what they are, and
    the log says so.
    """
    if not threads:
        return
    os.environ["OMP_NUM_THREADS"] = str(threads)
    import tensorflow as tf

    # Once there is a context, setting what it has is fine, and anything else is refused.
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        _log.warning("TensorFlow runs already: its threads stay as they are, not %d.", threads)
