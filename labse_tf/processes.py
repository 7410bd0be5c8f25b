"""A process that was forked from one that has used TensorFlow: it hangs, so it is refused."""

from __future__ import annotations

import os

# The id of the first process in which a model or an encoder was. A list, since AutoGraph converts
# `check_process` with the layers that call it, and knows no `global`.
_used_in: list[int] = []


def check_process() -> None:
    """Notes that this process uses TensorFlow.

    A fork has the memory of its parent but none of its threads, and TensorFlow waits for these.

    Raises:
        RuntimeError: it was forked from a process that used TensorFlow before.
    """
    if not _used_in:
        _used_in.append(os.getpid())
    elif _used_in[0] != os.getpid():
        raise RuntimeError(
            f"This process ({os.getpid()}) was forked from one that had a model "
            f"({_used_in[0]}), and TensorFlow does not live through a fork: it would hang. Start "
            "processes afresh, by "
            'multiprocessing.get_context("spawn") or "forkserver", and call labse_tf.load in each; '
            "or fork before the first load."
        )
