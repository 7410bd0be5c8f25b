"""Preemption: a run that gets SIGTERM ends after the step that it is in."""

from __future__ import annotations

import signal
import threading
import typing

if typing.TYPE_CHECKING:
    import tensorflow as tf


class Preempted(Exception):
    """A run got SIGTERM, saved a checkpoint and ended."""


class Preemption:
    """A context that handles SIGTERM, which it can in the main thread alone.

    Args:
        strategy: under several workers, all end at the same step if one of them gets SIGTERM.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        import tensorflow as tf  # takes seconds, which `labse --help` does not need

        self._asked = False
        self._agree, self._constant = None, tf.constant
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):

            @tf.function(autograph=False)
            def sum_over_workers(asked):
                return strategy.reduce("SUM", strategy.run(tf.identity, args=(asked,)), axis=None)

            self._agree = sum_over_workers

    def __enter__(self) -> Preemption:
        self._before = None
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *exception) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def asked(self) -> bool:
        """Whether this process or another worker got SIGTERM; collective: all must call it."""
        if self._agree is None:
            return self._asked
        return bool(self._agree(self._constant(int(self._asked))) > 0)

    def _note(self, number, frame) -> None:
        self._asked = True
