"""Files and directories that are written whole or not at all.

What is written goes to a temporary sibling `.NAME.xxxxxxxx.unfinished`, reaches the disk (fsync),
and gets its name by a rename, so that neither an error, a kill nor a power failure leaves half of
it at the path, and no reader sees half of it.

The writer holds a lock (flock) on the sibling. One that is not locked was left by a process that
was killed, and is removed by the next write to the same path. A process id in the name would not
do: a disk may be shared by several machines.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import logging
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import IO

_UNFINISHED = "unfinished"
_ASIDE = "replaced"  # what was at the path, where the file system cannot swap two directories
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
_AT_FDCWD, _RENAME_NOREPLACE, _RENAME_EXCHANGE = -100, 1, 2  # Linux' <fcntl.h>, <linux/fs.h>
_libc = ctypes.CDLL(None)
_log = logging.getLogger(__name__)


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike, mode: str = "w") -> Iterator[IO]:
    """Gives a file to write to; it is at `path` if the block ends well.

    What stands at `path` is replaced then; after an error it is as it was. The permissions are
    those that the umask leaves.

    Args:
        path: the file, in a directory that exists.
        mode: "w", UTF-8 with line feeds as they are; or "wb".

    Raises:
        OSError: the file cannot be written, as on a full disk; it names `path`.

    Example:
        >>> with atomic_file("results.json") as file:
        ...     json.dump(results, file)
    """
    with atomic_files([path], mode) as (file,):
        yield file


@contextlib.contextmanager
def atomic_files(paths: Sequence[str | os.PathLike], mode: str = "w") -> Iterator[list[IO]]:
    """Give files to write to; all are at their paths if the block ends well, and none if not.

    The files are renamed when all of them have reached the disk. In other respects each is written
    as by `atomic_file`.

    Args:
        paths: Different files, in directories that exist.
        mode: "w" for UTF-8 with line feeds as they are, or "wb".

    Raises:
        OSError: If a file cannot be written.
    """
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    with contextlib.ExitStack() as stack:
        written = []
        for path in map(os.path.abspath, paths):
            unfinished, descriptor = stack.enter_context(_unfinished(path, _create_file))
            file = stack.enter_context(open(descriptor, mode, closefd=False, **text))
            written.append((file, descriptor, unfinished, path))
        yield [file for file, *_ in written]
        for file, descriptor, unfinished, path in written:
            try:
                file.close()
                _fsync(descriptor, unfinished)
            except OSError as error:
                raise OSError(error.errno, error.strerror, path) from error
        for _, _, unfinished, path in written:
            durable_rename(unfinished, path)


@contextlib.contextmanager
def atomic_directory(
    path: str | os.PathLike, rename: Callable[[str, str], None] | None = None
) -> Iterator[str]:
    """Gives a directory to write to; it is at `path` if the block ends well.

    What stands at `path` is replaced then; on Linux (renameat2) without a moment in which nothing
    is there. After an error `path` is as it was, and nothing of the new directory is left. Its
    permissions are those that the umask leaves.

    Args:
        path: the directory; the one that holds it is made if it does not exist.
        rename: called with the finished directory's temporary name and `path`, instead of replacing
            what is there: for a name in the same folder that is known only at the end.

    Raises:
        OSError: it cannot be written, as on a full disk; it names `path`.

    Example:
        >>> with atomic_directory("release") as unfinished:
        ...     shutil.copytree(source, unfinished, dirs_exist_ok=True)
    """
    path = os.path.abspath(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with _unfinished(path, _create_directory) as (unfinished, descriptor):
        mode = os.fstat(descriptor).st_mode & 0o7777
        yield unfinished
        if os.stat(unfinished).st_mode & 0o7777 != mode:  # of a directory that was copied over it
            os.chmod(unfinished, mode)
        _sync_tree(unfinished)
        (rename or _replace)(unfinished, path)
        _sync(os.path.dirname(path))


def durable_rename(
    source: str | os.PathLike, path: str | os.PathLike, *, overwrite: bool = True
) -> None:
    """Rename a file that is on the disk, so that a power failure does not undo the rename.

    Raises:
        FileExistsError: If `path` exists and `overwrite` is False.
    """
    if overwrite:
        os.rename(source, path)
    elif not _renameat2(source, path, _RENAME_NOREPLACE):
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(path))
        os.rename(source, path)  # the system or the file system does not have renameat2
    _sync(os.path.dirname(os.path.abspath(path)))


@contextlib.contextmanager
def _unfinished(path: str, create: Callable[[str], int]) -> Iterator[tuple[str, int]]:
    """A new locked sibling of `path` and its descriptor; removed unless it was renamed."""
    try:
        remove_leftovers(path)
        unfinished, descriptor = _create_locked(path, create)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
    try:
        yield unfinished, descriptor
    except OSError as error:
        if (name := _name_for_users(error, unfinished, path)) is None:
            raise
        raise OSError(error.errno, error.strerror, name) from error
    finally:
        _remove(unfinished)
        os.close(descriptor)


def _create_file(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)


def _create_directory(path: str) -> int:
    os.mkdir(path)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


def _create_locked(path: str, create: Callable[[str], int]) -> tuple[str, int]:
    parent, name = os.path.split(path)
    while True:
        unfinished = os.path.join(parent, f".{name}.{secrets.token_hex(4)}.{_UNFINISHED}")
        try:
            descriptor = create(unfinished)
        except (FileExistsError, FileNotFoundError):
            if not os.path.isdir(parent):
                raise
            continue
        _lock(descriptor, wait=True)
        # Before it was locked, another writer may have taken it for a leftover.
        if os.path.lexists(unfinished):
            return unfinished, descriptor
        os.close(descriptor)


def _lock(descriptor: int, wait: bool = False) -> bool:
    """False if another holds the lock, or the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def remove_leftovers(path: str | os.PathLike) -> None:
    """Remove the unfinished siblings of `path` that no living process is writing.

    Every write to `path` does it; a program that is started again need not wait for the next one.
    """
    parent, name = os.path.split(os.path.abspath(path))
    # While nothing is at the path, what was put aside is all that there is.
    endings = f"({_UNFINISHED}|{_ASIDE})" if os.path.lexists(path) else _UNFINISHED
    leftover = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{8}}\.{endings}")
    for found in filter(leftover.fullmatch, os.listdir(parent)):
        found = os.path.join(parent, found)
        if os.path.islink(found):  # one that was replaced; what is written is never a link
            _remove(found)
            continue
        try:
            descriptor = os.open(found, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except (FileNotFoundError, PermissionError):  # gone by now, or another user's
            continue
        try:
            if _lock(descriptor):
                _remove(found)
        finally:
            os.close(descriptor)


def _remove(path: str) -> None:
    """Removes a file or a directory, if it is there; if it cannot, the next write tries again."""
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        _log.warning("%r is left behind, since it cannot be removed: %s", path, error)


def _name_for_users(error: OSError, unfinished: str, path: str) -> str | None:
    """What an error should name: `path`, or what is in it; None if it is about something else."""
    if error.filename is None:
        return path if error.errno in _DISK_ERRORS else None
    name = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
    return path + name.removeprefix(unfinished) if name.startswith(unfinished) else None


def _replace(unfinished: str, path: str) -> None:
    """Gives a directory the name `path`; what was there has its name then, or is gone."""
    if not os.path.lexists(path):
        os.rename(unfinished, path)
    elif not _renameat2(unfinished, path, _RENAME_EXCHANGE):
        aside = unfinished.removesuffix(_UNFINISHED) + _ASIDE
        try:
            os.rename(path, aside)
            os.rename(unfinished, path)
        except BaseException:
            if os.path.lexists(aside) and not os.path.lexists(path):
                os.rename(aside, path)
            raise
        _remove(aside)


def _renameat2(source: str | os.PathLike, path: str | os.PathLike, flag: int) -> bool:
    """Rename in one step; False if that failed, or the system or the file system cannot do it."""
    renameat2 = getattr(_libc, "renameat2", None)
    paths = (_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(path))
    return renameat2 is not None and renameat2(*paths, flag) == 0


def _sync_tree(directory: str) -> None:
    """Has all files in a directory reach the disk, and the directories with their names."""

    def stop(error: OSError) -> None:
        raise error

    for folder, _, names in os.walk(directory, topdown=False, onerror=stop):
        for path in (os.path.join(folder, name) for name in names):
            if not os.path.islink(path):
                _sync(path)
        _sync(folder)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _fsync(descriptor, path)
    finally:
        os.close(descriptor)


def _fsync(descriptor: int, path: str) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems refuse it for directories, where renames are as durable as they get.
        if not os.path.isdir(path) or error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise OSError(error.errno, error.strerror, path) from error
