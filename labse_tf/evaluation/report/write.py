"""Reports of what labse evaluate measured: a page, a text and a picture."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from labse_tf.evaluation.report.html import render_html
from labse_tf.evaluation.report.markdown import render_markdown
from labse_tf.evaluation.report.png import render_png
from labse_tf.evaluation.report.tables import sections
from labse_tf.files.atomic import atomic_file

FORMAT = "labse_tf evaluation 1"
_WANTED = "Expected what `labse evaluate MODEL ... --output FILE` writes."


def read_results(path: str | os.PathLike) -> dict[str, Any]:
    """The results of one model.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no JSON, or not of this format; the message names the file.
    """
    path = os.fspath(path)
    try:
        with open(path, encoding="utf-8") as file:
            results = json.load(file)
    except ValueError as error:  # of JSON and of UTF-8
        raise ValueError(f"{path}: not JSON: {error}. {_WANTED}") from error
    if not isinstance(results, dict) or results.get("format") != FORMAT:
        found = results.get("format") if isinstance(results, dict) else type(results).__name__
        raise ValueError(f"{path}: the format is {found!r}, not {FORMAT!r}. {_WANTED}")
    model, benchmarks = results.get("model"), results.get("benchmarks")
    if not isinstance(model, dict) or not isinstance(model.get("name"), str):
        raise ValueError(f"{path}: there is no name of a model. {_WANTED}")
    if not isinstance(benchmarks, list) or not all(map(_is_benchmark, benchmarks)):
        raise ValueError(f"{path}: a benchmark has no name or no figures. {_WANTED}")
    return results


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
        raise ValueError("There are no results to report. " + _WANTED)
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


def _is_benchmark(benchmark: Any) -> bool:
    return (
        isinstance(benchmark, dict)
        and isinstance(benchmark.get("name"), str)
        and isinstance(benchmark.get("figures"), dict)
        and all(
            "/" in key and (value is None or isinstance(value, (int, float)))
            for key, value in benchmark["figures"].items()
        )
    )
