"""One process at a time in a working directory."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator

from labse_tf.training.output import say

# Of filesystems that have no locks for directories, as some of networks.
_NO_LOCKS = (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


@contextlib.contextmanager
def locked(workdir: str | os.PathLike, chief: bool = True, works: str = "trains") -> Iterator[None]:
    """A block in which no other process works in `workdir`, which is made if it is not there.

    What the block leaves empty is removed again. The lock goes with the process, however it ends.

    Args:
        workdir: of a run.
        chief: whether this process writes there: of several workers one does, and has the lock.
        works: what such a process does there, for the message.

    Raises:
        BlockingIOError: another process has the lock.
    """
    if not chief:
        yield
        return
    made, path = [], os.path.abspath(workdir)
    while not os.path.exists(path):
        made.append(path)
        path = os.path.dirname(path)
    os.makedirs(workdir, exist_ok=True)
    descriptor = os.open(workdir, os.O_RDONLY)
    try:
        _lock(descriptor, workdir, works)
        yield
    finally:
        os.close(descriptor)
        for path in made:
            if os.listdir(path):
                break
            os.rmdir(path)


def _lock(descriptor: int, workdir: str | os.PathLike, works: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BlockingIOError(
            f"Another process {works} in {os.fspath(workdir)!r}. Wait for its end, or choose "
            "another working directory."
        ) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        say(f"{os.fspath(workdir)!r} cannot be locked ({error}): start no second run there.")
