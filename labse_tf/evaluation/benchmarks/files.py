"""The files of benchmarks: directories that must be there, and files of equally many lines."""

from __future__ import annotations

import os

from labse_tf.evaluation.observer import Observer
from labse_tf.files.lines import read_lines


def check_directory(path: str | os.PathLike | None, benchmark: str, layout: str) -> str:
    """A benchmark's directory.

    Args:
        path: of the directory.
        benchmark: its name.
        layout: what must be in it, and where to get it.

    Raises:
        FileNotFoundError: there is none.
    """
    if path is None or not os.path.isdir(path):
        what = "needs its directory" if path is None else f"has no directory {os.fspath(path)!r}"
        raise FileNotFoundError(f"{benchmark} {what}. Expected: {layout}")
    return os.fspath(path)


def read_sentences_of(path: str, observer: Observer) -> list[str]:
    """The lines of a file; ValueError if there are none."""
    observer.on_file(path)
    lines = list(read_lines(path))
    if not lines:
        raise ValueError(f"{path}: the file is empty.")
    return lines


def check_equal(first: tuple[str, list], second: tuple[str, list]) -> None:
    """ValueError with both counts unless two files, (path, lines), have equally many lines."""
    if len(first[1]) != len(second[1]):
        raise ValueError(
            f"{first[0]} has {len(first[1]):,} lines, but {second[0]} has {len(second[1]):,}: they "
            "must be translations, line by line."
        )
