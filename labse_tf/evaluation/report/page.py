"""The page of a report: one file that needs nothing else."""

from __future__ import annotations

import importlib.resources
from html import escape

from labse_tf.evaluation.report.colours import CURVES, OTHER_SCRIPTS, SCRIPTS


def render_page(title: str, header: str, main: str) -> str:
    """A page with the style of reports, in a light and a dark theme, and the script for tables.

    Args:
        title: text.
        header: HTML, below the title.
        main: HTML.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # Whatever a result file may contain, the page asks no server for anything.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n"
        f'<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_colours()}{_resource('report.css')}</style>\n"
        f"</head>\n<body>\n<header>\n<h1>{escape(title)}</h1>\n{header}</header>\n<main>\n"
        f"{main}</main>\n"
        f'<output id="readout" hidden></output>\n<script>\n{_resource("report.js")}</script>\n'
        "</body>\n</html>\n"
    )


def _resource(name: str) -> str:
    return (importlib.resources.files("labse_tf.evaluation.report") / name).read_text(
        encoding="utf-8"
    )


def _colours() -> str:
    """Custom properties for both themes, and a class for each colour."""
    hues = [*((f"s{i}", pair) for i, pair in enumerate(SCRIPTS)), ("other", OTHER_SCRIPTS)]
    hues += [(f"c{i}", pair) for i, pair in enumerate(CURVES)]
    light, dark = ("".join(f"--{name}:{pair[i]};" for name, pair in hues) for i in (0, 1))
    classes = "".join(f".{name}{{--hue:var(--{name})}}" for name, _ in hues)
    return f":root{{{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{classes}\n"
