"""The tables of a report's page."""

from __future__ import annotations

import itertools
from html import escape

from labse_tf.evaluation.metrics import lower_is_better
from labse_tf.evaluation.report.charts import typeset
from labse_tf.evaluation.report.parts import Column, Row, Table

_TALL = 24  # rows from which a table scrolls


def render_table(table: Table, title: str) -> str:
    """A table that report.js can sort, in a box in which it scrolls.

    Args:
        table: what to show; the summaries stay on top.
        title: of the box, for screen readers.
    """
    button = '<button type="button">{}</button>'
    several = any(column.heading for column in table.columns)
    span = ' rowspan="2"' if several else ""
    texts = table.text_columns
    heads = [
        f'<th scope="col" class="text"{span} data-column="{i}">{button.format(name)}</th>'
        for i, name in enumerate(texts)
    ]
    below = []
    indexed = list(enumerate(table.columns, start=len(texts)))
    for metric, group in itertools.groupby(indexed, key=lambda pair: pair[1].metric):
        columns = list(group)
        note = "<small>lower is better</small>" if lower_is_better(metric) else ""
        if several:
            heads.append(
                f'<th scope="colgroup" class="first" colspan="{len(columns)}">{escape(metric)}'
                f"{note}</th>"
            )
        for place, (i, column) in enumerate(columns):
            name = typeset(escape(column.heading)) if several else escape(metric) + note
            (below if several else heads).append(
                f'<th scope="col" class="{_classes(column, place == 0)}" data-column="{i}" '
                f'title="{escape(_explain(column))}">{button.format(name or "this model")}</th>'
            )
    firsts = {
        i
        for i, c in indexed
        if i == len(texts) or c.metric != indexed[i - len(texts) - 1][1].metric
    }
    bodies = []
    for summary in (True, False):
        rows = "".join(
            _row(row, table, firsts, len(texts)) for row in table.rows if row.summary == summary
        )
        if rows:
            bodies.append(f'<tbody class="{"summaries" if summary else "parts"}">{rows}</tbody>')
    head = f"<tr>{''.join(heads)}</tr>" + (f"<tr>{''.join(below)}</tr>" if several else "")
    tall = " tall" if len(table.rows) > _TALL else ""
    return (
        f'<div class="box{tall}" tabindex="0" role="region" aria-label="{escape(title)}">'
        f'<table class="figures"><thead>{head}</thead>{"".join(bodies)}</table></div>\n'
    )


def _row(row: Row, table: Table, firsts: set[int], texts: int) -> str:
    cells = []
    if texts > 1:
        cells.append(f'<td class="text">{escape(row.script or "")}</td>')
    for i, (cell, column) in enumerate(zip(row.cells, table.columns), start=texts):
        classes = _classes(column, i in firsts)
        title = ""
        if cell.verdict:
            word = "better" if cell.verdict > 0 else "worse"
            classes, title = f"{classes} {word}", f' title="{word} than A"'
        value = "" if cell.value is None else f' data-value="{cell.value!r}"'
        cells.append(f'<td class="{classes}"{value}{title}>{typeset(cell.text)}</td>')
    return f'<tr><th scope="row" class="text">{escape(row.part)}</th>{"".join(cells)}</tr>'


def _classes(column: Column, first: bool) -> str:
    return f"{column.kind} first" if first else column.kind


def _explain(column: Column) -> str:
    if column.kind == "published":
        return f"{column.metric}, as published: {column.heading}"
    return f"{column.metric} {column.heading}".strip()
