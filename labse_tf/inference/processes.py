"""A process that was forked from one that has used TensorFlow: it hangs, so it is refused."""

from __future__ import annotations

import os

_used_in: int | None = None  # the id of the first process in which a model was


def check_process() -> None:
    """Notes that this process uses TensorFlow.

    A fork has the memory of its parent but none of its threads, and TensorFlow waits for these.

    Raises:
        RuntimeError: it was forked from a process that used TensorFlow before.
    """
    global _used_in
    if _used_in is None:
        _used_in = os.getpid()
    elif _used_in != os.getpid():
        raise RuntimeError(
            f"This process ({os.getpid()}) was forked from one that had a model ({_used_in}), and "
            "TensorFlow does not live through a fork: it would hang. Start processes afresh, by "
            'multiprocessing.get_context("spawn") or "forkserver", and call labse_tf.load in each; '
            "or fork before the first load."
        )
