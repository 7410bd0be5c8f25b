"""Writes the report of a run: a directory with index.html and report.md."""

from __future__ import annotations

import os
from typing import Any

from labse_tf.evaluation.benchmarks.mining import Ranked
from labse_tf.files.atomic import atomic_directory
from labse_tf.mining.options import MiningOptions
from labse_tf.mining.report.figures import figures_of
from labse_tf.mining.report.markdown import render_markdown
from labse_tf.mining.report.page import TITLE, render_html
from labse_tf.mining.run import Mined

PAGE, TABLE = "index.html", "report.md"
_HEAD = 4096  # Bytes at the start of a page, within which the title is.


def check_report(path: str | os.PathLike, overwrite: bool) -> None:
    """Says what is wrong with a report's directory before hours are spent on it.

    Raises:
        FileExistsError: If the directory exists, and `overwrite` is False or it holds anything but
            a report.
    """
    path = os.fspath(path)
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise FileExistsError(f"{path!r} exists. Choose another path, or --overwrite it.")
    if not _is_report(path):
        raise FileExistsError(
            f"{path!r} is not an earlier report ({PAGE} and {TABLE} alone), so it is not "
            "overwritten. Remove it yourself, or choose another path."
        )


def _is_report(path: str) -> bool:
    """Return whether a directory holds what `write_report` writes, and nothing else."""
    if not os.path.isdir(path) or sorted(os.listdir(path)) != sorted((PAGE, TABLE)):
        return False
    with open(os.path.join(path, PAGE), "rb") as file:
        return f"<title>{TITLE}</title>".encode() in file.read(_HEAD)


def write_report(
    path: str | os.PathLike,
    found: Mined,
    measured: Ranked | None,
    facts: dict[str, Any],
    options: MiningOptions,
    command: str,
    overwrite: bool = False,
) -> None:
    """Writes a page and a table, to choose a threshold by.

    Args:
        path: of the directory.
        found: the pairs.
        measured: the pairs and which are right, if that is known.
        facts: as `labse_tf.mining.mine_files.mine_files` returns them.
        options: of the run.
        command: of the run, or "".
        overwrite: whether to replace an earlier report.

    Raises:
        FileExistsError: see `check_report`.
        OSError: it cannot be written.
    """
    check_report(path, overwrite)
    figures = figures_of(found, measured, options.seed)
    with atomic_directory(path) as folder:
        for name, text in (
            (PAGE, render_html(figures, facts, options, command)),
            (TABLE, render_markdown(figures, facts, options, command)),
        ):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(text)
