"""Reports of what labse evaluate measured: a page, a text and a picture."""

from __future__ import annotations

import os
from collections.abc import Sequence

from labse_tf.evaluation.report.html import render_html
from labse_tf.evaluation.report.markdown import render_markdown
from labse_tf.evaluation.report.png import render_png
from labse_tf.evaluation.report.tables import sections
from labse_tf.evaluation.results import EXPECTED, read_results
from labse_tf.files.atomic import atomic_file


def write_report(
    paths: Sequence[str | os.PathLike], output: str | os.PathLike, overwrite: bool = False
) -> list[str]:
    """Writes OUTPUT.html, OUTPUT.md and OUTPUT.png.

    Args:
        paths: results, a model each; the first one is what the others are compared with.
        output: the files' name without its ending.
        overwrite: whether to replace such files.

    Returns:
        The names of the files.

    Raises:
        FileExistsError: one of the files exists, and `overwrite` is False.
        FileNotFoundError, ValueError: as `read_results`; or there is no directory for the output.
        ImportError: matplotlib is not installed.
    """
    if not paths:
        raise ValueError(f"There are no results to report. {EXPECTED}")
    output = os.fspath(output)
    names = [f"{output}.{ending}" for ending in ("html", "md", "png")]
    if not os.path.isdir(os.path.dirname(os.path.abspath(output))):
        raise FileNotFoundError(f"There is no directory to write {names[0]!r} to.")
    for name in names:
        if os.path.lexists(name) and not overwrite:
            raise FileExistsError(f"{name!r} exists. Choose another name, or overwrite it.")
    results = [read_results(path) for path in paths]
    found = sections(results)
    # All are made before the first one is written.
    contents = [
        render_html(results, found).encode(),
        render_markdown(results, found, os.path.basename(names[2])).encode(),
        render_png(results, found),
    ]
    for name, content in zip(names, contents):
        with atomic_file(name, "wb") as file:
            file.write(content)
    return names
