"""Locks that let one process at a time write a resumable output."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
from collections.abc import Iterator

# Some network file systems have no locks, or none for directories.
_NO_LOCKS = (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)
_log = logging.getLogger(__name__)


@contextlib.contextmanager
def lock_directory(path: str | os.PathLike, activity: str = "works") -> Iterator[None]:
    """Hold the lock of a working directory, which is created if it does not exist.

    Directories that were created here and are empty at the end are removed again. The block may
    remove the directory itself. The system releases the lock when the process ends, however it
    ends.

    Args:
        path: The directory.
        activity: What the holder of the lock does in the directory, for the error message.

    Raises:
        BlockingIOError: If another process holds the lock.
    """
    created, parent = [], os.path.abspath(path)
    while not os.path.exists(parent):
        created.append(parent)
        parent = os.path.dirname(parent)
    descriptor = _open_locked(path, activity)
    try:
        yield
    finally:
        # While the lock is held, or a waiting process could start in a directory that is removed.
        with contextlib.suppress(OSError):  # a directory is not empty
            for directory in created:
                with contextlib.suppress(FileNotFoundError):
                    os.rmdir(directory)
        os.close(descriptor)


def lock_file(descriptor: int, path: str | os.PathLike, activity: str = "writes") -> None:
    """Lock an open file or directory until its descriptor is closed.

    Args:
        descriptor: The open file.
        path: The path at which it was opened.
        activity: What the holder of the lock does with the path, for the error message.

    Raises:
        BlockingIOError: If another process holds the lock, or has renamed or removed the file since
            it was opened.
    """
    _lock(descriptor, path, activity, fcntl.LOCK_EX)
    if not _is_at(descriptor, path):
        raise BlockingIOError(
            f"Another process has just finished with {os.fspath(path)!r}. Start again."
        )


def check_unlocked(path: str | os.PathLike, activity: str = "writes") -> None:
    """Check that no other process holds the lock of a file.

    Raises:
        BlockingIOError: If another process holds the lock.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:  # the process that held the lock has just finished
        return
    try:
        _lock(descriptor, path, activity, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: str | os.PathLike, activity: str, kind: int) -> None:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BlockingIOError(
            f"Another process {activity} {os.fspath(path)!r}. Wait until it ends, or choose "
            "another path."
        ) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        _log.warning(
            "%r cannot be locked (%s): do not start a second run there.", os.fspath(path), error
        )


def _open_locked(path: str | os.PathLike, activity: str) -> int:
    while True:
        os.makedirs(path, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:  # the process that held the lock has just removed it
            continue
        try:
            lock_file(descriptor, path, f"{activity} in")
            return descriptor
        except BaseException:
            was_removed = not _is_at(descriptor, path)
            os.close(descriptor)
            if not was_removed:
                raise


def _is_at(descriptor: int, path: str | os.PathLike) -> bool:
    """Return whether an open file is still the one at its path."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
