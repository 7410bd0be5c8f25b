"""Writes the report of a run: a directory with index.html and report.md."""

from __future__ import annotations

import os
from typing import Any

from labse_tf.evaluation.benchmarks.mining import Ranked
from labse_tf.files.atomic import atomic_directory
from labse_tf.mining.options import MiningOptions
from labse_tf.mining.report.figures import figures_of
from labse_tf.mining.report.markdown import render_markdown
from labse_tf.mining.report.page import render_html
from labse_tf.mining.run import Mined

PAGE, TABLE = "index.html", "report.md"


def check_report(path: str | os.PathLike, overwrite: bool) -> None:
    """Says what is wrong with a report's directory before hours are spent on it.

    Raises:
        FileExistsError: it exists, and `overwrite` is False or it is something else than a report.
    """
    path = os.fspath(path)
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise FileExistsError(f"{path!r} exists. Choose another path, or --overwrite it.")
    if not os.path.isfile(os.path.join(path, PAGE)):
        raise FileExistsError(
            f"{path!r} has no {PAGE}: it is not an earlier report, and is not overwritten. Remove "
            "it yourself, or choose another path."
        )


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
        ValueError: there are no pairs.
    """
    check_report(path, overwrite)
    if not len(found.pairs):
        raise ValueError("No pairs were found, so there is nothing to report. Loosen the options.")
    figures = figures_of(found, measured, options.seed)
    with atomic_directory(path) as folder:
        for name, text in (
            (PAGE, render_html(figures, facts, options, command)),
            (TABLE, render_markdown(figures, facts, options, command)),
        ):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(text)
