"""Preemption: a run that gets SIGTERM ends after the step that it is in."""

from __future__ import annotations

import contextlib
import signal
import threading
import typing
from collections.abc import Iterator

if typing.TYPE_CHECKING:
    import tensorflow as tf


class Preempted(Exception):
    """A run got SIGTERM and ended; started again in the same way, it goes on."""


class Preemption:
    """A context for a whole run that handles SIGTERM, which it can in the main thread alone.

    Between steps, as while files are scanned, Preempted is raised at once; in the block of `steps`
    the signal is kept until `check` or `asked`, except in the block of `measurement`. Under several
    workers it always is, since all have to end at the same place.

    Args:
        strategy: under several workers, all end at the same step if one of them gets SIGTERM.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        # It imports TensorFlow, which takes seconds that `labse --help` does not need.
        from labse_tf.training.workers import Workers

        self._asked = self._in_steps = False
        self._workers = Workers(strategy)

    def __enter__(self) -> Preemption:
        self._before = None
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *exception) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    @contextlib.contextmanager
    def steps(self) -> Iterator[None]:
        """A block in which SIGTERM is not answered before somebody asks."""
        self._in_steps = True
        try:
            yield
        finally:
            self._in_steps = False

    @contextlib.contextmanager
    def measurement(self) -> Iterator[None]:
        """A block within `steps` that SIGTERM ends with Preempted; it must change no state."""
        before = self._in_steps
        try:
            self._in_steps = False
            yield
        finally:
            self._in_steps = before

    def asked(self) -> bool:
        """Whether this process or another worker got SIGTERM; collective: all must call it."""
        return bool(self._workers.gather([self._asked]).any())

    def check(self, state: str) -> None:
        """Raises Preempted, with the state of the run, if `asked`; collective like it."""
        if self.asked():
            raise Preempted(f"SIGTERM: {state}. Start again in the same way to go on.")

    def _note(self, number, frame) -> None:
        self._asked = True
        if not (self._workers.are_several or self._in_steps):
            # Whoever swallows this is found out by the next `check`.
            raise Preempted(
                "SIGTERM between steps: what was saved stays. Start again in the same way to go on."
            )
