"""Reports of what labse evaluate measured: a page, a text and, with matplotlib, a picture."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Sequence

from labse_tf.evaluation.report.html import render_html
from labse_tf.evaluation.report.markdown import render_markdown
from labse_tf.evaluation.report.png import render_png
from labse_tf.evaluation.report.tables import sections
from labse_tf.evaluation.results import EXPECTED, read_results
from labse_tf.extras import install_hint
from labse_tf.files.atomic import atomic_files

_log = logging.getLogger(__name__)


def write_report(
    paths: Sequence[str | os.PathLike], output: str | os.PathLike, overwrite: bool = False
) -> list[str]:
    """Write OUTPUT.html, OUTPUT.md and, if matplotlib is installed, OUTPUT.png.

    Without matplotlib a warning is logged.

    Args:
        paths: results, a model each; the first one is what the others are compared with.
        output: the files' name without its ending.
        overwrite: whether to replace such files.

    Returns:
        The names of the files that were written.

    Raises:
        FileExistsError: one of the files exists, and `overwrite` is False.
        FileNotFoundError, ValueError: as `read_results`; or there is no directory for the output.
    """
    if not paths:
        raise ValueError(f"There are no results to report. {EXPECTED}")
    output = os.fspath(output)
    has_picture = importlib.util.find_spec("matplotlib") is not None
    names = [f"{output}.{ending}" for ending in ("html", "md", "png")[: 2 + has_picture]]
    if not os.path.isdir(os.path.dirname(os.path.abspath(output))):
        raise FileNotFoundError(f"There is no directory to write {names[0]!r} to.")
    for name in names:
        if os.path.lexists(name) and not overwrite:
            raise FileExistsError(f"{name!r} exists. Choose another name, or overwrite it.")
    results = [read_results(path) for path in paths]
    found = sections(results)
    picture = os.path.basename(names[2]) if has_picture else None
    contents = [
        render_html(results, found).encode(),
        render_markdown(results, found, picture).encode(),
    ]
    if has_picture:
        contents.append(render_png(results, found))
    else:
        _log.warning(
            "%s.png is not written, since it needs matplotlib: %s",
            output,
            install_hint("evaluation"),
        )
    with atomic_files(names, "wb") as files:
        for file, content in zip(files, contents):
            file.write(content)
    return names
