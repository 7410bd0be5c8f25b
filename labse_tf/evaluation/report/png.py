"""A report as one tall picture: bars, curves and heat maps, one below the other."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

from labse_tf.evaluation.metrics import format_metric, is_threshold
from labse_tf.evaluation.report.colours import CURVES, OTHER_SCRIPTS, SCRIPTS, SEQUENTIAL
from labse_tf.evaluation.report.parts import (
    GRID_AXES,
    Bars,
    Grid,
    Section,
    has_values,
    label,
    title_of,
)
from labse_tf.evaluation.report.tables import script_numbers

# Inches.
_WIDTH, _MARGIN, _LINE, _TITLE = 13.0, 0.4, 0.2, 0.5
_BAR, _COLUMN, _CURVE = 0.15, 44, 2.6  # a bar's height, bars a column, a curve's height
_DPI, _PIXELS = 110, 60_000  # matplotlib draws at most 65,535 a side
_INK, _PLAIN = "#1b1e22", "#4d6a8a"
_HATCHES, _LINES = ("", "////", "...."), ("-", "--", ":")


def render_png(results: Sequence[dict], sections: Sequence[Section]) -> bytes:
    """The picture, as the content of a PNG file. matplotlib's settings stay as they are.

    Args:
        results: a model each, as `labse_tf.evaluation.results.read_results` gives them.
        sections: of them, as `labse_tf.evaluation.report.tables.sections` gives them.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    scripts = script_numbers(sections)
    many = len(results) > 1
    # Twice: only at the end it is known how high the picture is.
    height = _draw(_Page(None, 0), results, sections, scripts, many)
    figure = Figure(figsize=(_WIDTH, height), facecolor="white")
    _draw(_Page(figure, height), results, sections, scripts, many)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=min(_DPI, _PIXELS / height), facecolor="white")
    return file.getvalue()


class _Page:
    """Hands out places in the picture, downwards; without a figure it only measures."""

    def __init__(self, figure, height: float):
        self.figure, self.height, self.used = figure, height, _MARGIN

    def text(self, text: str, size: float = 9, colour: str = _INK, bold: bool = False) -> None:
        """A line of text."""
        if self.figure is not None:
            y = 1 - self.used / self.height
            self.figure.text(
                _MARGIN / _WIDTH, y, text[:170], size=size, color=colour, va="top",
                weight="bold" if bold else "normal", parse_math=False,
            )  # fmt: skip
        self.used += _LINE * max(1, size / 10)

    def axes(self, left: float, width: float, height: float):
        """Axes whose top is where the page is used up to; None if it only measures."""
        if self.figure is None:
            return None
        bottom = self.height - self.used - height
        box = (left / _WIDTH, bottom / self.height, width / _WIDTH, height / self.height)
        axes = self.figure.add_axes(box)
        axes.tick_params(length=2, labelsize=7, colors=_INK)
        axes.spines[["top", "right"]].set_visible(False)
        return axes


def _draw(page: _Page, results, sections, scripts: dict[str, int], many: bool) -> float:
    page.text("Evaluation", 15, bold=True)
    for model, result in enumerate(results):
        mark = f"{label(model)}: " if many else ""
        page.text(f"{mark}{result['model']['name']}   {result.get('date') or ''}")
    used = sorted(set(scripts.values()))
    for number in used:
        names = ", ".join(s for s, n in scripts.items() if n == number)
        page.text(f"■ {names}", 8, _colour(number))
    for section in sections:
        page.used += 0.2
        page.text(section.title, 13, bold=True)
        if section.failures:
            page.text(
                "Not measured: " + ", ".join(part for _, part, _ in section.failures), 9, "#b3201f"
            )
        if section.bars:
            _bars(page, section.bars, section.models, scripts, many)
        if section.curves:
            _curves(page, section, many)
        for grid in section.grids:
            for model, values in zip(section.models, grid.values):
                if has_values(values):
                    _heat_map(page, grid, values, label(model) if many else "")
    return page.used + _MARGIN


def _bars(page: _Page, bars: Bars, models: Sequence[int], scripts: dict, many: bool) -> None:
    page.text(f"{title_of(bars.metric)}, in percent", 9)
    for summary in bars.summaries:
        values = " / ".join(format_metric(bars.metric, v) for v in summary.values)
        page.text(f"{summary.part}: {values}", 9, bold=True)
    if many:
        marks = zip(("solid", "hatched", "dotted"), models)
        page.text("; ".join(f"{label(model)} {mark}" for mark, model in marks), 8)
    columns = min(4, math.ceil(len(bars.parts) / _COLUMN))
    rows = math.ceil(len(bars.parts) / columns)
    height = rows * _BAR * (1 + 0.5 * (len(models) - 1)) + 0.1
    width = (_WIDTH - 2 * _MARGIN) / columns
    names = max(len(bar.part) for bar in bars.parts)
    indent = min(0.35 + 0.065 * names, 0.6 * width)
    for column in range(columns):
        some = bars.parts[column * rows : (column + 1) * rows]
        axes = page.axes(_MARGIN + column * width + indent, width - indent - 0.4, height)
        if axes is None or not some:
            continue
        thickness = 0.8 / len(models)
        for i, bar in enumerate(some):
            number = scripts.get(bar.script or "")
            colour = _PLAIN if number is None else _colour(number)
            for j, value in enumerate(bar.values):
                if value is None:
                    continue
                y = i - 0.4 + (j + 0.5) * thickness
                axes.barh(
                    y, 100 * value, thickness, color=colour, hatch=_HATCHES[min(j, 2)],
                    edgecolor="white", linewidth=0, alpha=1 if j == 0 else 0.65,
                )  # fmt: skip
                text = format_metric(bars.metric, value)
                axes.text(max(100 * value, 0) + 1, y, text, va="center", size=6, color=_INK)
        axes.set(xlim=(min(0, *_values(bars)), 100), ylim=(rows - 0.5, -0.5))
        axes.set_yticks(range(len(some)), [bar.part for bar in some], parse_math=False)
    page.used += height + 0.3


def _values(bars: Bars) -> list[float]:
    return [100 * v for bar in bars.parts for v in bar.values if v is not None]


def _curves(page: _Page, section: Section, many: bool) -> None:
    each = (_WIDTH - 2 * _MARGIN) / 3
    parts = list(section.curves.items())
    for first in range(0, len(parts), 3):
        for place, (part, columns) in enumerate(parts[first : first + 3]):
            page.used += 0.25
            axes = page.axes(_MARGIN + place * each + 0.35, each - 0.6, _CURVE - 0.75)
            page.used -= 0.25
            if axes is None:
                continue
            axes.set_title(part, size=8, color=_INK, parse_math=False)
            for j, curve in enumerate(columns):
                names = list(curve or {})
                for i, name in enumerate(names[1:]):
                    axes.plot(
                        curve[names[0]], [100 * y for y in curve[name]], _LINES[min(j, 2)],
                        color=CURVES[i % len(CURVES)][0], linewidth=1.2,
                        label=f"{label(section.models[j])} {name}" if many else name,
                    )  # fmt: skip
                if names:
                    axes.set_xlabel(names[0], size=7)
            axes.set_ylim(0, 102)
            axes.legend(fontsize=6, frameon=False)
        page.used += _CURVE


def _heat_map(page: _Page, grid: Grid, values: Sequence[Sequence], model: str) -> None:
    page.used += 0.1
    unit = 1 if is_threshold(grid.metric) else 100
    page.text(f"{grid.metric} {model}: {GRID_AXES}", 9)
    cell = min(0.35, (_WIDTH - 2 * _MARGIN - 2) / len(grid.targets))
    width, height = cell * len(grid.targets), cell * len(grid.sources)
    page.used += 0.75
    axes = page.axes(_MARGIN + 0.8, width, height)
    bar = page.axes(_MARGIN + 0.95 + width, 0.15, min(height, 3))
    if axes is not None:
        from matplotlib.colors import LinearSegmentedColormap

        colours = LinearSegmentedColormap.from_list("sequential", SEQUENTIAL)
        numbers = [[math.nan if v is None else unit * v for v in row] for row in values]
        low, high = (unit * bound for bound in grid.bounds)
        image = axes.imshow(
            numbers, colours, aspect="auto", interpolation="nearest", vmin=low, vmax=high
        )
        size = min(7, 62 * cell)
        axes.set_xticks(range(len(grid.targets)), grid.targets, rotation=90, size=size)
        axes.set_yticks(range(len(grid.sources)), grid.sources, size=size)
        axes.xaxis.tick_top()
        axes.spines[:].set_visible(False)
        page.figure.colorbar(image, cax=bar)
    page.used += height + 0.2


def _colour(number: int) -> str:
    return (SCRIPTS[number] if number < len(SCRIPTS) else OTHER_SCRIPTS)[0]
