"""Directories that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def renamed_when_done(path: str | os.PathLike) -> Iterator[str]:
    """Gives a directory beside `path` to write to; renames it when the block ends well.

    What stands at `path` is replaced then. After an error nothing of the new directory is left.
    """
    parent, name = os.path.split(os.path.abspath(path))
    os.makedirs(parent, exist_ok=True)
    unfinished = tempfile.mkdtemp(prefix=f".{name}.", suffix=".unfinished", dir=parent)
    try:
        os.chmod(unfinished, 0o755)  # mkdtemp's 0700 would hide the release from a server's user
        yield unfinished
        if os.path.lexists(path):
            old = tempfile.mkdtemp(prefix=f".{name}.", suffix=".old", dir=parent)
            os.rename(path, os.path.join(old, name))
            try:
                os.rename(unfinished, path)
            except BaseException:
                os.rename(os.path.join(old, name), path)
                os.rmdir(old)
                raise
            shutil.rmtree(old)
        else:
            os.rename(unfinished, path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
