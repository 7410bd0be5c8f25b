"""Files of data: whether they can be read many times, and whether they are empty."""

from __future__ import annotations

import gzip
import os
import re
import warnings
from collections.abc import Iterable

import tensorflow as tf

_SHARD = re.compile(r"-\d+-of-(?=\d+(\.gz)?$)", re.IGNORECASE)
_GZIP = re.compile(r"\.gz(-\d+-of-\d+)?$", re.IGNORECASE)


def why_no_file(path: str) -> str:
    """What is wrong with a path that data is to be read from, on this machine or not; "": nothing.

    A training reads its files many times, which a pipe cannot.
    """
    if not tf.io.gfile.exists(path):
        return "does not exist"
    if tf.io.gfile.isdir(path):
        return "is a directory; give its files"
    if os.path.exists(path) and not os.path.isfile(path):
        return "is a pipe, but is read more than once; copy it to a file"
    return ""


def is_empty(path: str) -> bool:
    """Return whether a file, plain or gzip by its name, holds not one byte of data.

    A path that is not a regular file, or a damaged gzip, is not empty: its reader reports it.
    """
    if why_no_file(path):
        return False
    with tf.io.gfile.GFile(path, "rb") as file:
        if not file.size():
            return True
        if not _GZIP.search(path):
            return False
        try:
            return not gzip.GzipFile(fileobj=file).read(1)
        except (gzip.BadGzipFile, EOFError):
            return False


def group_shards(paths: Iterable[str | os.PathLike]) -> list[list[str]]:
    """Group the shards of each file; sorted, whatever the order given.

    Empty shards are left out with a warning, as parallel writers leave shards without a row.

    Raises:
        ValueError: If a file is empty, in all of its shards.
    """
    groups: dict[str, list[str]] = {}
    empty = []
    for path in sorted(map(os.fspath, paths)):
        group = groups.setdefault(_SHARD.sub("-of-", path), [])
        (empty if is_empty(path) else group).append(path)
    for path in empty:
        if not groups[_SHARD.sub("-of-", path)]:
            raise ValueError(f"The file {path!r} is empty: expected a sentence or pair per line.")
        warnings.warn(f"The shard {path!r} is empty. It is left out.", stacklevel=3)
    return list(groups.values())
