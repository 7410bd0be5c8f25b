"""SIGTERM, as a machine gets it that is taken back: the run ends after the step that it is in."""

from __future__ import annotations

import signal
import threading
import typing

if typing.TYPE_CHECKING:
    import tensorflow as tf


class Preempted(Exception):
    """The run was asked to end by SIGTERM; its state is saved."""


class Preemption:
    """Notes SIGTERM while it is entered; in threads other than the main one it notes nothing.

    Args:
        strategy: under several workers all end at the same step, if one of them is asked to.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        import tensorflow as tf  # seconds, which a program that only says --help does not wait

        self._asked = False
        self._agree, self._constant = None, tf.constant
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):

            @tf.function(autograph=False)
            def sum_of_all(asked):
                return strategy.reduce("SUM", strategy.run(tf.identity, args=(asked,)), axis=None)

            self._agree = sum_of_all

    def __enter__(self) -> Preemption:
        self._before = None
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *exception) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def asked(self) -> bool:
        """Whether this process, or any of the workers, was asked to end. All must call it."""
        if self._agree is None:
            return self._asked
        return bool(self._agree(self._constant(int(self._asked))) > 0)

    def _note(self, number, frame) -> None:
        self._asked = True
