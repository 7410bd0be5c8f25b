"""Workers: small integers that the worker processes of one run exchange."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

# A network file system may show a new file to other machines with a delay.
_SECONDS_TO_APPEAR = 10.0


class Workers:
    """The worker processes of a strategy, of which all must act alike.

    Args:
        strategy: The strategy of the run. Every strategy except MultiWorkerMirroredStrategy has
            one worker.

    Attributes:
        are_several: Whether there are other worker processes.
        is_chief: Whether this process writes the run's files; exactly one worker does.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self.are_several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        self.is_chief = strategy.extended.should_checkpoint
        if not self.are_several:
            return
        self._local_replicas = len(strategy.extended.worker_devices)
        replicas = strategy.num_replicas_in_sync

        def place(row: tf.Tensor) -> tf.Tensor:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            return tf.one_hot(replica, replicas, dtype=tf.int32)[:, tf.newaxis] * row

        @tf.function(autograph=False)
        def stack(row: tf.Tensor) -> tf.Tensor:
            # A sum, since every backend sums int32, and not every one gathers.
            return strategy.reduce("SUM", strategy.run(place, args=(row,)), axis=None)

        self._stack = stack

    def gather(self, values: Sequence[int]) -> np.ndarray:
        """Return the values of all workers, int32 [workers, values]; all workers must call it.

        Row 0 holds the values of the chief. A worker that does not call it blocks the others.

        Args:
            values: This worker's values, as many as those of every other worker.
        """
        if not self.are_several:
            return np.array([values], np.int32)
        rows = self._stack(tf.constant(values, tf.int32))
        return rows.numpy()[:: self._local_replicas]

    def check_shared(self, directory: str) -> None:
        """Check that all workers see the same directory, which is created if it does not exist.

        Raises:
            OSError: If the chief cannot write to the directory.
            ValueError: If a worker does not see a file that the chief wrote.
        """
        name, error = 0, None
        if self.is_chief:
            try:
                os.makedirs(directory, exist_ok=True)
                name = 1 + secrets.randbelow(2**30)
                open(_shared_file(directory, name), "xb").close()
            except OSError as raised:
                name, error = 0, raised
        name = int(self.gather([name])[0, 0])
        if not name:
            raise OSError(
                f"{directory!r} cannot be written to: {error or 'see the error of worker 0'}."
            ) from error
        try:
            appeared = _appears(_shared_file(directory, name))
            (missing,) = np.nonzero(self.gather([appeared])[:, 0] == 0)
        finally:
            if self.is_chief:
                os.remove(_shared_file(directory, name))
        if missing.size:
            raise ValueError(
                f"{directory!r} is not shared by the workers: worker "
                f"{', '.join(map(str, missing))} does not see a file that worker 0 wrote there. "
                "Several workers need one working directory, on a file system that all of them "
                "see, since all resume from what worker 0 writes."
            )

    def check_equal(self, difference: str, value: int) -> None:
        """Check that all workers have the same value.

        Args:
            difference: How the workers start if the values differ, for the error message.
            value: This worker's value, an int32.

        Raises:
            ValueError: If the values differ.
        """
        values = self.gather([value])[:, 0]
        if (values != values[0]).any():
            by_worker = ", ".join(f"worker {i}: {value}" for i, value in enumerate(values))
            raise ValueError(
                f"The workers start {difference}: {by_worker}. Give all of them the same model and "
                "the same working directory, and start all again."
            )


def _shared_file(directory: str, name: int) -> str:
    return os.path.join(directory, f".shared-by-workers-{name}")


def _appears(path: str) -> bool:
    """Return whether a file exists, or does within `_SECONDS_TO_APPEAR`."""
    end = time.monotonic() + _SECONDS_TO_APPEAR
    while not os.path.exists(path):
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
