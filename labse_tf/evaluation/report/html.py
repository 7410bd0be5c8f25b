"""A report as one page that needs nothing else: no network, JavaScript only to sort and point."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape

from labse_tf.evaluation.report import charts
from labse_tf.evaluation.report.facts import describe, title_of_models
from labse_tf.evaluation.report.html_table import render_table
from labse_tf.evaluation.report.page import render_page
from labse_tf.evaluation.report.parts import Grid, Section, has_values, label
from labse_tf.evaluation.report.tables import script_numbers


def render_html(results: Sequence[dict], sections: Sequence[Section]) -> str:
    """The page.

    Args:
        results: a model each, as `labse_tf.evaluation.results.read_results` gives them.
        sections: of them, as `labse_tf.evaluation.report.tables.sections` gives them.
    """
    names = [result["model"]["name"] for result in results]
    title = f"Evaluation of {title_of_models(names)}"
    scripts = script_numbers(sections)
    body = "".join(_section(i, section, names, scripts) for i, section in enumerate(sections))
    header = f"{_models(results)}{_alert(sections)}{_contents(sections)}"
    return render_page(title, header, body or "<p>The files contain no benchmark.</p>")


def _models(results: Sequence[dict]) -> str:
    cards = []
    for model, result in enumerate(results):
        mark = f'<b class="label">{label(model)}</b> ' if len(results) > 1 else ""
        facts = "".join(
            f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
            for name, value in describe(result)
        )
        command = result.get("command")
        cards.append(
            f'<article class="model"><h2>{mark}{escape(result["model"]["name"])}</h2>'
            f"<dl>{facts}</dl>"
            + (f"<pre><code>{escape(command)}</code></pre>" if command else "")
            + "</article>\n"
        )
    return f'<div class="models">{"".join(cards)}</div>\n'


def _alert(sections: Sequence[Section]) -> str:
    count = sum(len(section.failures) for section in sections)
    if not count:
        return ""
    links = ", ".join(
        f'<a href="#s{i}">{escape(section.title)}</a> ({len(section.failures)})'
        for i, section in enumerate(sections)
        if section.failures
    )
    noun = "part" if count == 1 else "parts"
    return f'<p class="alert"><b>{count} {noun} could not be measured:</b> {links}</p>\n'


def _contents(sections: Sequence[Section]) -> str:
    """Links to the sections, each with the figure that sums it up, if there is one."""
    links = []
    for i, section in enumerate(sections):
        text = escape(section.title)
        summaries = [row for row in section.table.rows if row.summary]
        if summaries and section.bars:
            shown = [
                cell.text
                for cell, column in zip(summaries[-1].cells, section.table.columns)
                if column.metric == section.bars.metric and column.kind == "figure"
            ]
            text += (
                f" <b>{charts.typeset(' / '.join(shown))}</b> "
                f"<small>{escape(section.bars.metric)}, {escape(summaries[-1].part)}</small>"
            )
        links.append(f'<li><a href="#s{i}">{text}</a></li>')
    return f'<nav aria-label="Benchmarks"><ul>{"".join(links)}</ul></nav>\n' if links else ""


def _section(
    number: int, section: Section, names: Sequence[str], scripts: Mapping[str, int]
) -> str:
    many = len(names) > 1
    parts = [f'<section id="s{number}">\n<h2>{escape(section.title)}</h2>\n']
    if many:
        keys = (f"<b>{label(m)}</b> {escape(names[m])}" for m in section.models)
        parts.append(f'<p class="key">{" · ".join(keys)}</p>\n')
    parts += [f'<p class="note">{escape(note)}</p>\n' for note in section.notes]
    if section.failures:
        lines = "".join(
            f"<li><b>{label(model) + ', ' if many else ''}{escape(part)}</b>: {escape(what)}</li>"
            for model, part, what in section.failures
        )
        parts.append(f'<div class="alert"><b>Not measured</b><ul>{lines}</ul></div>\n')
    if section.table.rows:
        parts.append(render_table(section.table, section.title))
    if section.bars and (section.table.has_scripts or len(section.bars.parts) > 3):
        parts.append(charts.bars(section.bars, section.models, scripts, many) + "\n")
    parts.append(_curves(section, many))
    parts += [_heat_maps(grid, section.models, many) for grid in section.grids]
    return "".join(parts) + _details(section, many) + "</section>\n"


def _curves(section: Section, many: bool) -> str:
    if not section.curves:
        return ""
    names = list(
        dict.fromkeys(n for of in section.curves.values() for c in of for n in list(c or {})[1:])
    )
    figures = []
    for part, columns in section.curves.items():
        thresholds = [run["figures"].get(f"{part}/threshold") for run in section.runs]
        figures.append(charts.curve(part, columns, names, thresholds))
    legend = charts.curve_legend(names, section.models, many)
    return f'{legend}<div class="curves">{"".join(figures)}</div>\n'


def _heat_maps(grid: Grid, models: Sequence[int], many: bool) -> str:
    maps = [
        charts.heat_map(grid, of, f"{grid.metric}{f', {label(m)}' if many else ''}", grid.bounds)
        for m, of in zip(models, grid.values)
        if has_values(of)
    ]
    for m, of in list(zip(models, grid.values))[1:] if models[0] == 0 else ():
        differences = [
            [None if a is None or b is None else b - a for a, b in zip(*rows)]
            for rows in zip(grid.values[0], of)
        ]
        if not has_values(differences):
            continue
        far = max(abs(d) for row in differences for d in row if d is not None) or 1.0
        title = f"{grid.metric}, {label(m)} − A"
        maps.append(charts.heat_map(grid, differences, title, (-far, far), difference=True))
    return "".join(maps)


def _details(section: Section, many: bool) -> str:
    lists = []
    for model, run in zip(section.models, section.runs):
        data = run.get("data") or {}
        facts = [
            ("directory", data.get("directory")),
            ("seconds", run.get("seconds")),
            *((f"option {name}", value) for name, value in (run.get("options") or {}).items()),
            *(data.get("files") or {}).items(),
        ]
        rows = "".join(
            f"<div><dt>{escape(str(name))}</dt><dd>{escape(_plain(value))}</dd></div>"
            for name, value in facts
            if value is not None
        )
        if rows:
            lists.append((f"<h3>{label(model)}</h3>" if many else "") + f"<dl>{rows}</dl>")
    if not lists:
        return ""
    return f"<details><summary>Data and options</summary>{''.join(lists)}</details>\n"


def _plain(value) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
