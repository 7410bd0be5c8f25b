"""Task: some files of a stage, made whole or not at all, and never twice.

Beside the files of a task stands its record, NAME.json: the key of what they were made from, their
sizes and checksums, and counts. A task whose record has its key and whose files have their
checksums is done; any other is done anew. So a stage goes on after a kill, a file that was cut
short is found, and what was made from other input or with other settings is not taken for this.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from labse_tf.files.atomic import atomic_file
from labse_tf.files.checksums import checksum

_FORMAT = 1  # of the files: another one makes all tasks anew, which a new version alone does not


@dataclasses.dataclass(frozen=True)
class Made:
    """What a task made.

    Args:
        files: paths, relative to the work folder.
        counts: numbers to be said, added up or planned with.
    """

    files: tuple[str, ...]
    counts: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Task:
    """Work for one process; it can be pickled, and made anywhere that sees the work folder.

    Args:
        name: as "embed/source-00003", the path of its record without ".json".
        make: a function of a module: called with the work folder, the name and the arguments. It
            writes its files by `atomic_file`, so that two processes may do the same task.
        arguments: of `make`, by name; what JSON can hold.
        key: of what its files depend on beside the arguments: see `key_of`.
        ignored: arguments that its files do not depend on, as where a model is.
    """

    name: str
    make: Callable[..., Made]
    arguments: dict[str, Any]
    key: str
    ignored: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Record:
    """A task that is done.

    Args:
        name: of the task.
        key: see `full_key`.
        files: (bytes, checksum) by path, relative to the work folder.
        counts: of `Made`.
        kept: whether its files were there before.
    """

    name: str
    key: str
    files: dict[str, tuple[int, str]]
    counts: dict[str, Any]
    kept: bool = False


def key_of(*parts: Any) -> str:
    """A digest of settings and of the digests of input; parts are what JSON can hold."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def files_key(records: Iterable[Record]) -> str:
    """A digest of all files of some tasks: of what is made from them."""
    return key_of(sorted((name, file[1]) for r in records for name, file in r.files.items()))


def full_key(task: Task) -> str:
    """The key that stands in a task's record: of its arguments too."""
    arguments = {name: v for name, v in task.arguments.items() if name not in task.ignored}
    return key_of(task.key, arguments, task.make.__qualname__, _FORMAT)


def run_task(folder: str, task: Task) -> Record:
    """Does a task, unless it is done.

    Args:
        folder: the work folder.
        task: what to do.
    """
    key = full_key(task)
    before = read_record(folder, task.name)
    if before is not None and before.key == key and not damaged_files(folder, before):
        return dataclasses.replace(before, kept=True)
    os.makedirs(os.path.dirname(os.path.join(folder, task.name)), exist_ok=True)
    made = task.make(folder, task.name, **task.arguments)
    files = {}
    for name in made.files:
        path = os.path.join(folder, name)
        files[name] = (os.path.getsize(path), checksum(path))
    record = Record(task.name, key, files, made.counts)
    with atomic_file(_record_path(folder, task.name)) as file:
        json.dump({"key": key, "files": files, "counts": made.counts}, file)
    return record


def damaged_files(folder: str, record: Record) -> list[str]:
    """The files of a task that are absent, of another size or checksum."""
    return [
        name
        for name, (size, digest) in record.files.items()
        if not _is_whole(os.path.join(folder, name), size, digest)
    ]


def read_record(folder: str, name: str) -> Record | None:
    """The record of a task that was done; None if there is no readable one."""
    try:
        with open(_record_path(folder, name), encoding="utf-8") as file:
            values = json.load(file)
        files = {name: (int(size), str(digest)) for name, (size, digest) in values["files"].items()}
        return Record(name, str(values["key"]), files, dict(values["counts"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _is_whole(path: str, size: int, digest: str) -> bool:
    try:
        return os.path.getsize(path) == size and checksum(path) == digest
    except FileNotFoundError:
        return False


def _record_path(folder: str, name: str) -> str:
    return os.path.join(folder, f"{name}.json")
