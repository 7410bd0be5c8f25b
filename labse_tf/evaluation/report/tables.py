"""From several results to what a report shows of them."""

from __future__ import annotations

import collections
import os
from collections.abc import Mapping, Sequence

from labse_tf.evaluation.metrics import MISSING, format_metric, is_threshold, lower_is_better
from labse_tf.evaluation.report.colours import SCRIPTS
from labse_tf.evaluation.report.parts import (
    Bar,
    Bars,
    Cell,
    Column,
    Grid,
    Row,
    Section,
    Table,
    label,
)


def sections(results: Sequence[dict]) -> list[Section]:
    """All benchmarks of all results, in the order in which they occur.

    Args:
        results: as `labse_tf.evaluation.results.read_results` gives them, a model each.
            Benchmarks of the same name and the same name of their data's directory are set side
            by side.
    """
    groups: dict[tuple[str, str, int], dict[int, dict]] = {}
    for model, result in enumerate(results):
        seen: collections.Counter = collections.Counter()
        for run in result["benchmarks"]:
            directory = (run.get("data") or {}).get("directory") or ""
            name = run["name"], os.path.basename(os.path.normpath(directory)) if directory else ""
            groups.setdefault((*name, seen[name]), {})[model] = run
            seen[name] += 1
    return [_section(key, runs, len(results)) for key, runs in groups.items()]


def script_numbers(all_sections: Sequence[Section]) -> dict[str, int]:
    """Scripts to numbers of colours, the most frequent first; rare ones share the last."""
    counts = collections.Counter(
        bar.script
        for section in all_sections
        if section.bars
        for bar in section.bars.parts
        if bar.script
    )
    ordered = sorted(counts, key=lambda script: (-counts[script], script))
    return {script: min(number, len(SCRIPTS)) for number, script in enumerate(ordered)}


def _section(key: tuple[str, str, int], runs: Mapping[int, dict], count: int) -> Section:
    name, directory, repeated = key
    title = f"{name} ({directory})" if directory else name
    models = tuple(runs)
    scripts: dict[str, str] = {}
    for run in reversed(runs.values()):
        scripts.update(run.get("scripts") or {})
    figures = {model: _by_part(run["figures"]) for model, run in runs.items()}
    table = _table(figures, _published(runs.values()), scripts, count)
    curve_parts = dict.fromkeys(part for run in runs.values() for part in run.get("curves") or {})
    return Section(
        title=f"{title}, {repeated + 1}" if repeated else title,
        models=models,
        runs=tuple(runs.values()),
        table=table,
        bars=_bars(table, models),
        grids=_grids(figures),
        curves={
            part: tuple((run.get("curves") or {}).get(part) for run in runs.values())
            for part in curve_parts
        },
        failures=tuple(
            (model, part, what)
            for model, run in runs.items()
            for part, what in (run.get("failures") or {}).items()
        ),
        notes=_notes(runs, count),
    )


def _by_part(figures: Mapping[str, float | None]) -> dict[str, dict[str, float]]:
    """Figures by part and metric, without those that are no numbers."""
    parts: dict[str, dict[str, float]] = {}
    for key, value in figures.items():
        part, _, metric = key.rpartition("/")
        if value is not None and abs(value) < 1e9:  # false for NaN
            parts.setdefault(part, {})[metric] = value
    return parts


def _published(runs) -> dict[tuple[str, str], dict[str, float]]:
    published: dict[tuple[str, str], dict[str, float]] = {}
    for run in runs:
        for key, by_name in (run.get("published") or {}).items():
            part, _, metric = key.rpartition("/")
            published.setdefault((part, metric), {}).update(by_name)
    return published


def _table(figures: Mapping[int, dict], published: dict, scripts: dict, count: int) -> Table:
    parts = dict.fromkeys(part for of in figures.values() for part in of if ">" not in part)
    metrics = dict.fromkeys(
        m for of in figures.values() for part in parts for m in of.get(part, ())
    )
    columns = []
    for metric in metrics:
        columns += [Column(metric, "figure", label(m) if count > 1 else "", m) for m in figures]
        if 0 in figures:
            others = [m for m in figures if m != 0]
            columns += [Column(metric, "difference", f"{label(m)} - A", m) for m in others]
        by = dict.fromkeys(n for (p, m), of in published.items() if m == metric for n in of)
        columns += [Column(metric, "published", name, None) for name in by]

    def cell(part: str, column: Column) -> Cell:
        metric = column.metric
        if column.kind == "published":
            value = published.get((part, metric), {}).get(column.heading)
            return Cell("" if value is None else format_metric(metric, value), value)
        value = figures[column.model].get(part, {}).get(metric)
        if column.kind == "figure":
            return Cell(format_metric(metric, value), value)
        first = figures[0].get(part, {}).get(metric)
        if value is None or first is None:
            return Cell(MISSING, None)
        difference = value - first
        text = format_metric(metric, difference, "+")
        verdict = {"+": 1, "-": -1}.get(text[0], 0) * (-1 if lower_is_better(metric) else 1)
        return Cell(text, difference, 0 if is_threshold(metric) else verdict)

    summaries = [part for part in parts if part.startswith("mean of")]
    rows = [
        Row(part, part in summaries, scripts.get(part), tuple(cell(part, c) for c in columns))
        for part in [*summaries, *(part for part in parts if part not in summaries)]
    ]
    return Table(tuple(columns), tuple(rows))


def _bars(table: Table, models: Sequence[int]) -> Bars | None:
    """Bars of the first metric that a part has."""
    for metric in table.metrics:
        columns = [
            i
            for i, column in enumerate(table.columns)
            if column.metric == metric and column.kind == "figure"
        ]
        bars = [
            (row.summary, Bar(row.part, row.script, tuple(row.cells[i].value for i in columns)))
            for row in table.rows
            if any(row.cells[i].value is not None for i in columns)
        ]
        parts = [bar for summary, bar in bars if not summary]
        if not parts or is_threshold(metric):
            continue
        best = 1 if lower_is_better(metric) else -1
        parts.sort(key=lambda bar: best * next(v for v in bar.values if v is not None))
        return Bars(metric, tuple(parts), tuple(bar for summary, bar in bars if summary))
    return None


def _grids(figures: Mapping[int, dict]) -> tuple[Grid, ...]:
    pairs = dict.fromkeys(part for of in figures.values() for part in of if ">" in part)
    metrics = dict.fromkeys(
        m for of in figures.values() for part in pairs for m in of.get(part, ())
    )
    sides = [part.partition(">")[::2] for part in pairs]
    sources, targets = zip(*sides) if sides else ((), ())
    order = dict.fromkeys((*sources, *targets))  # the same for both, so that there is a diagonal
    sources, targets = (tuple(p for p in order if p in set(side)) for side in (sources, targets))
    return tuple(
        Grid(
            metric,
            sources,
            targets,
            tuple(
                [[of.get(f"{s}>{t}", {}).get(metric) for t in targets] for s in sources]
                for of in figures.values()
            ),
        )
        for metric in metrics
    )


def _notes(runs: Mapping[int, dict], count: int) -> tuple[str, ...]:
    notes = []
    if absent := [label(model) for model in range(count) if model not in runs]:
        notes.append(f"Not measured: {', '.join(absent)}.")
    files = [((run.get("data") or {}).get("files") or {}).values() for run in runs.values()]
    if any(sorted(map(str, of)) != sorted(map(str, files[0])) for of in files):
        notes.append("The models' data differ in their checksums: figures may not be comparable.")
    options = [run.get("options") or {} for run in runs.values()]
    if any(of != options[0] for of in options):
        notes.append("The models' options differ: figures may not be comparable.")
    return tuple(notes)
