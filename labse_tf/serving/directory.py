"""A directory that TensorFlow Serving serves: versions of a release, and its configuration."""

from __future__ import annotations

import errno
import itertools
import os
import re
import shutil
from collections.abc import Sequence

from labse_tf.files.atomic import atomic_directory, atomic_file
from labse_tf.release.batch_sizes import BATCH_SIZES
from labse_tf.release.configuration import is_release
from labse_tf.release.warmup import write_warmup
from labse_tf.serving.templates import MARK, NAME, configuration

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


def add_version(
    release: str | os.PathLike,
    directory: str | os.PathLike,
    *,
    name: str = NAME,
    batch_sizes: Sequence[int] = BATCH_SIZES,
) -> tuple[str, list[str]]:
    """Adds a release as the next version of a model, and writes the server's configuration.

    DIRECTORY/NAME/VERSION appears by a rename, so that a running server never reads half of it;
    versions count up from 1, and none that exists is changed. Beside the models lie
    `models.config`, `batching_parameters.txt`, `docker-compose.yml` and `README.md`, which name
    all models of the directory. They are written anew each time, but for those whose first line
    no longer says that they are.

    Args:
        release: directory of a release.
        directory: is made if it does not exist.
        name: the model's name in requests.
        batch_sizes: the sizes that batches of requests are filled up to, increasing. The last is
            the most sentences that a request may have.

    Returns:
        The new version's directory, and the names of the files that were left as they are.

    Raises:
        OSError: the directory cannot be written.
        ValueError: `release` is not one, the name cannot be part of a path and an address, or the
            batch sizes do not increase.
    """
    release, directory = os.fspath(release), os.fspath(directory)
    if not is_release(release):
        raise ValueError(
            f"{release!r} is no release of labse_tf; `labse convert` makes one of another model."
        )
    if not _NAME.fullmatch(name):
        raise ValueError(f"`name` (={name!r}) may hold letters, digits, dots, dashes and _ alone.")
    sizes = list(batch_sizes)
    if not sizes or sizes[0] < 1 or any(a >= b for a, b in itertools.pairwise(sizes)):
        raise ValueError(f"`batch_sizes` (={sizes}) must be numbers above 0 that increase.")
    versions: list[str] = []

    def rename(unfinished: str, _: str) -> None:
        versions.append(_rename_to_next(unfinished))

    # Until it has its number the server passes over it.
    with atomic_directory(os.path.join(directory, name, "version"), rename) as unfinished:
        shutil.copytree(release, unfinished, dirs_exist_ok=True)
        write_warmup(unfinished, sizes)
    kept = []
    for file_name, text in configuration(_models(directory), sizes).items():
        path = os.path.join(directory, file_name)
        if os.path.lexists(path) and not _is_ours(path):
            kept.append(file_name)
            continue
        with atomic_file(path) as file:
            file.write(text)
    return os.path.join(directory, name, os.path.basename(versions[0])), kept


def _rename_to_next(unfinished: str) -> str:
    """Renames a directory to the next version beside it; returns that one's path."""
    folder = os.path.dirname(unfinished)
    while True:
        path = os.path.join(folder, str(max([0, *_versions(folder)]) + 1))
        try:
            os.rename(unfinished, path)  # fails on a directory that is not empty
            return path
        except OSError as error:  # another process has just added this version
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


def _versions(folder: str) -> list[int]:
    return [int(name) for name in os.listdir(folder) if name.isascii() and name.isdigit()]


def _models(directory: str) -> list[str]:
    """The names of the models of which there is a version."""
    return sorted(
        entry.name for entry in os.scandir(directory) if entry.is_dir() and _versions(entry.path)
    )


def _is_ours(path: str) -> bool:
    with open(path, encoding="utf-8", errors="replace") as file:
        return MARK in file.readline()
