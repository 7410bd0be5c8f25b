"""The charts of a report's page: bars in HTML; curves and heat maps as inline SVG."""

from __future__ import annotations

import collections
import json
from collections.abc import Mapping, Sequence
from html import escape

from labse_tf.evaluation.metrics import format_metric, lower_is_better
from labse_tf.evaluation.report.colours import (
    CURVES,
    DIVERGING,
    SCRIPTS,
    SEQUENTIAL,
    luminance,
    mix,
)
from labse_tf.evaluation.report.parts import GRID_AXES, Bars, Grid, label, title_of

_SHADES = 64  # of a heat map: cells of a shade are one path, which keeps pages small
_POINTS = 200  # of a curve
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 340, 230, 34, 36, 10, 12


def bars(bars: Bars, models: Sequence[int], scripts: Mapping[str, int], many: bool) -> str:
    """A list of bars, from 0 to 100, with their values, and the legend.

    Args:
        bars: what to show.
        models: their numbers, one for each of a bar's values.
        scripts: numbers of the scripts' colours.
        many: whether the report is of several models.
    """
    present = collections.Counter(scripts[bar.script] for bar in bars.parts if bar.script)
    keys = [
        _key(f"s{number}", ", ".join(s for s, n in scripts.items() if n == number))
        for number in sorted(present)
        if number < len(SCRIPTS)
    ]
    if len(SCRIPTS) in present:
        keys.append(_key("other", "other scripts"))
    if present and sum(present.values()) < len(bars.parts):
        keys.append(_key("plain", "no script given"))
    if many:
        keys += [_key(f"plain m{min(i, 2)}", label(model)) for i, model in enumerate(models)]
    rows = []
    for bar in bars.parts:
        number = scripts.get(bar.script or "")
        hue = "plain" if number is None else f"s{number}" if number < len(SCRIPTS) else "other"
        lines = "".join(
            f'<span class="track"><span class="bar {hue} m{min(i, 2)}" '
            f'style="width:{100 * min(max(value or 0.0, 0.0), 1.0):.3f}%"></span></span>'
            f'<span class="value">{typeset(format_metric(bars.metric, value))}</span>'
            for i, value in enumerate(bar.values)
        )
        title = f"{bar.part}, {bar.script}" if bar.script else bar.part
        rows.append(
            f'<li><span class="part" title="{escape(title)}">{escape(bar.part)}</span>'
            f'<span class="lines">{lines}</span></li>'
        )
    columns = " columns" if len(bars.parts) * len(models) > 24 else ""
    widest = min(max(len(bar.part) for bar in bars.parts), 24) + 1
    legend = f'<ul class="legend">{"".join(keys)}</ul>' if keys else ""
    return (
        f'<figure class="bars"><figcaption>{escape(title_of(bars.metric))}, best first; '
        f"bars from 0 to 100</figcaption>{legend}"
        f'<ol class="bars{columns}" style="--part:{widest}ch">{"".join(rows)}</ol></figure>'
    )


def curve_legend(names: Sequence[str], models: Sequence[int], many: bool) -> str:
    """What the lines of `curve` are, for those of several parts at once."""
    keys = [
        f'<li><i class="line c{i % len(CURVES)}"></i>{escape(n)}</li>' for i, n in enumerate(names)
    ]
    if many:
        keys += [
            f'<li><i class="line d{min(i, 2)}"></i>{label(m)}</li>' for i, m in enumerate(models)
        ]
    return f'<ul class="legend">{"".join(keys)}</ul>'


def curve(
    part: str,
    columns: Sequence[Mapping[str, Sequence[float]] | None],
    names: Sequence[str],
    thresholds: Sequence[float | None],
) -> str:
    """Columns against the first one of them, as a figure.

    Args:
        part: the title.
        columns: for each model, lists of equal length, or None.
        names: of all columns but the first, for their colours.
        thresholds: for each model, what is marked on the abscissa, or None.
    """
    known = [of for of in columns if of]
    abscissa = next(iter(known[0]))
    xs = [x for of in known for x in next(iter(of.values()))]
    low, high = (min(xs), max(xs)) if xs else (0.0, 1.0)
    span = (high - low) or 1.0

    def at(x: float, y: float) -> str:
        x = _LEFT + (x - low) / span * (_WIDTH - _LEFT - _RIGHT)
        return f"{x:.1f},{_HEIGHT - _BOTTOM - y * (_HEIGHT - _BOTTOM - _TOP):.1f}"

    marks = []
    for i in range(6):
        y = at(low, i / 5).split(",")[1]
        marks.append(f'<path class="rule" d="M{_LEFT},{y}H{_WIDTH - _RIGHT}"/>')
        marks.append(f'<text x="{_LEFT - 6}" y="{y}" dy=".35em" text-anchor="end">{20 * i}</text>')
        x = low + span * i / 5
        marks.append(
            f'<text x="{at(x, 0).split(",")[0]}" y="{_HEIGHT - _BOTTOM + 15}" '
            f'text-anchor="middle">{typeset(f"{x:.2f}" if span > 0.1 else f"{x:.4f}")}</text>'
        )
    for i, threshold in enumerate(thresholds):
        if threshold is not None and low <= threshold <= high:
            ends = at(threshold, 0), at(threshold, 1)
            marks.append(f'<path class="mark d{min(i, 2)}" d="M{ends[0]}L{ends[1]}"/>')
    for i, of in enumerate(columns):
        for name, ys in list((of or {}).items())[1:]:
            x = next(iter(of.values()))
            picked = range(0, len(x), max(1, len(x) // _POINTS))
            points = " ".join(at(x[j], min(max(ys[j], 0.0), 1.0)) for j in picked)
            hue = names.index(name) % len(CURVES)
            marks.append(
                f'<polyline class="c{hue} d{min(i, 2)}" points="{points}">'
                f"<title>{escape(name)}</title></polyline>"
            )
    return (
        f'<figure class="curve"><figcaption>{escape(part)}</figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'aria-label="{escape(", ".join(names))} against {escape(abscissa)}, {escape(part)}">'
        f'{"".join(marks)}<text x="{(_WIDTH + _LEFT) / 2}" y="{_HEIGHT - 4}" text-anchor="middle">'
        f"{escape(abscissa)}</text></svg></figure>"
    )


def heat_map(
    grid: Grid,
    values: Sequence[Sequence[float | None]],
    title: str,
    bounds: tuple[float, float],
    difference: bool = False,
) -> str:
    """A grid's values as colours, with a legend; what a cell is, is told where it is pointed at.

    Args:
        grid: its sources and targets are the rows and columns.
        values: [sources][targets], of a model or the differences of two.
        title: of the figure.
        bounds: the values of the first and the last colour.
        difference: whether values have a sign, and the colours a middle.
    """
    rows, columns = len(grid.sources), len(grid.targets)
    large = max(rows, columns)
    cell = 32 if large <= 20 else 20 if large <= 40 else 14
    steps = DIVERGING if difference else SEQUENTIAL
    if difference and lower_is_better(grid.metric):
        steps = steps[::-1]
    sign = "+" if difference else ""
    low, high = bounds
    paths: dict[int, list[str]] = collections.defaultdict(list)
    texts, flat = [], []
    for y, row in enumerate(values):
        for x, value in enumerate(row):
            text = format_metric(grid.metric, value, sign)
            flat.append("" if value is None else text)
            if value is None:
                continue
            shade = round((value - low) / ((high - low) or 1.0) * (_SHADES - 1))
            paths[shade].append(f"M{x} {y}.5h1")
            if cell == 32:
                dark = luminance(mix(steps, shade / (_SHADES - 1))) < 0.2
                texts.append(
                    f'<text x="{(x + 0.5) * cell:g}" y="{(y + 0.5) * cell:g}" dy=".35em"'
                    f"{' class=light' if dark else ''}>{typeset(text)}</text>"
                )
    drawn = "".join(
        f'<path stroke="{mix(steps, shade / (_SHADES - 1))}" d="{"".join(cells)}"/>'
        for shade, cells in sorted(paths.items())
    )
    longest = max(len(code) for code in (*grid.sources, *grid.targets))
    margin = 16 + min(7 * longest, 120)
    width, height = columns * cell, rows * cell
    tops = "".join(
        f'<text transform="translate({(i + 0.5) * cell:g},{margin - 6})rotate(-90)" dy=".35em">'
        f"{escape(code)}</text>"
        for i, code in enumerate(grid.targets)
    )
    sides = "".join(
        f'<text x="{margin - 6}" y="{(i + 0.5) * cell:g}" dy=".35em">{escape(code)}</text>'
        for i, code in enumerate(grid.sources)
    )
    ends = [typeset(format_metric(grid.metric, bound, sign)) for bound in bounds]
    data = {"sources": grid.sources, "targets": grid.targets, "values": flat}
    attributes = "".join(f' data-{k}="{escape(json.dumps(v))}"' for k, v in data.items())
    return (
        f'<figure class="heat"><figcaption>{escape(title)}: {GRID_AXES}'
        f'<span class="scale"><span>{ends[0]}</span><i style="background:linear-gradient(to right,'
        f'{",".join(steps)})"></i><span>{ends[1]}</span></span></figcaption>'
        f'<div class="box" tabindex="0" aria-label="{escape(title)}"><div class="plane" '
        f'style="grid-template-columns:{margin}px {width}px">'
        f'<div class="corner"></div>'
        f'<svg class="tops" width="{width}" height="{margin}">{tops}</svg>'
        f'<svg class="sides" width="{margin}" height="{height}">{sides}</svg>'
        f'<svg class="cells" width="{width}" height="{height}" tabindex="0" role="img" '
        f'aria-label="{escape(title)}. Arrow keys move from cell to cell." data-cell="{cell}"'
        f'{attributes}><g transform="scale({cell})">{drawn}</g>{"".join(texts)}'
        f'<rect class="cursor" width="{cell}" height="{cell}" visibility="hidden"/></svg>'
        f"</div></div></figure>"
    )


def _key(classes: str, text: str) -> str:
    return f'<li><i class="bar {classes}"></i>{escape(text)}</li>'


def typeset(text: str) -> str:
    """A figure with a real minus sign."""
    return text.replace("-", "−")
