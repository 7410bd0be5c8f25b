"""A report as GitHub Markdown."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Sequence

from labse_tf.evaluation.metrics import format_metric
from labse_tf.evaluation.report.facts import describe, title_of_models
from labse_tf.evaluation.report.parts import (
    GRID_AXES,
    Grid,
    Section,
    Table,
    label,
    title_of,
)

_LARGEST = 12  # sources and targets of a grid that is still a table


def render_markdown(
    results: Sequence[dict], sections: Sequence[Section], picture: str | None
) -> str:
    """The text: the page's tables, without its bars, curves and large heat maps.

    Args:
        results: a model each, as `labse_tf.evaluation.results.read_results` gives them.
        sections: of them, as `labse_tf.evaluation.report.tables.sections` gives them.
        picture: Name of the report's picture, beside the text; None if there is no picture.
    """
    names = [escape(result["model"]["name"]) for result in results]
    many = len(names) > 1
    elsewhere = f"the page{' or the picture' if picture is not None else ''} of this report"
    blocks = [f"# Evaluation of {title_of_models(names)}"]
    if picture is not None:
        blocks.append(f"![Charts]({urllib.parse.quote(picture)})")
    for model, result in enumerate(results):
        facts = "\n".join(f"- {name}: {escape(text)}" for name, text in describe(result))
        blocks += [f"## {label(model)}: {names[model]}"] if many else []
        blocks += [facts] if facts else []
        blocks += [fenced(result["command"])] if result.get("command") else []
    for section in sections:
        blocks.append(f"## {escape(section.title)}")
        blocks += section_blocks(section, many, elsewhere)
    return "\n\n".join(blocks) + "\n"


def section_blocks(section: Section, many: bool, elsewhere: str) -> list[str]:
    """A benchmark's notes, failures and tables, without a heading.

    Args:
        section: of `labse_tf.evaluation.report.tables.sections`.
        many: whether there are several models, which are told apart by letters then.
        elsewhere: where a grid that is too large for a table is found.
    """
    blocks = [escape(note) for note in section.notes]
    if section.failures:
        blocks.append("**Not measured:**")
        blocks.append(
            "\n".join(
                f"- **{label(model) + ', ' if many else ''}{escape(part)}**: {escape(what)}"
                for model, part, what in section.failures
            )
        )
    if section.table.rows:
        blocks.append(_table(section.table))
    for grid in section.grids:
        blocks += _grid(grid, section.models, many, elsewhere)
    return blocks


def _table(table: Table) -> str:
    texts = table.text_columns
    heads = texts + [escape(title_of(column.metric, column.heading)) for column in table.columns]
    rows = []
    for row in table.rows:
        cells = [f"**{escape(row.part)}**" if row.summary else escape(row.part)]
        cells += [escape(row.script or "")] if table.has_scripts else []
        rows.append(cells + [cell.text for cell in row.cells])
    return _lines(heads, len(texts), rows)


def _grid(grid: Grid, models: Sequence[int], many: bool, elsewhere: str) -> list[str]:
    rows, columns = len(grid.sources), len(grid.targets)
    if max(rows, columns) > _LARGEST:
        return [
            f"{escape(grid.metric)} from {rows} to {columns} languages is not shown here: see "
            f"{elsewhere}."
        ]
    blocks = []
    for model, values in zip(models, grid.values):
        name = f"{escape(grid.metric)}, {label(model)}" if many else escape(grid.metric)
        blocks.append(f"{name}: {GRID_AXES}.")
        cells = [
            [escape(source), *(format_metric(grid.metric, value) for value in row)]
            for source, row in zip(grid.sources, values)
        ]
        blocks.append(_lines(["", *map(escape, grid.targets)], 1, cells))
    return blocks


def _lines(heads: Sequence[str], texts: int, rows: Sequence[Sequence[str]]) -> str:
    """A table of texts, the first ones aligned to the left."""
    rule = ["---" if i < texts else "---:" for i in range(len(heads))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows))


def escape(text: str) -> str:
    """A text on one line that shows as it is, in a paragraph or a table."""
    text = re.sub(r"([\\`*_\[\]|~#$])", r"\\\1", " ".join(text.split()))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def fenced(text: str, language: str = "") -> str:
    """A block of code, whatever backticks are in it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
