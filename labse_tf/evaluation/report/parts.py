"""What a report shows, before it is shown: tables, bars, curves and grids."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from labse_tf.evaluation.metrics import lower_is_better

GRID_AXES = "rows are sources, columns targets"


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        metric: as "accuracy".
        kind: "figure" of a model, "difference" of a model to the first, or "published".
        heading: what tells it from the metric's other columns: "A", "B - A", a publication.
        model: the model's number, None if published.
    """

    metric: str
    kind: str
    heading: str
    model: int | None


@dataclasses.dataclass(frozen=True)
class Cell:
    """What stands in a table: a text, the number behind it, and 1 if that is better than the first
    model's, -1 if it is worse."""

    text: str
    value: float | None
    verdict: int = 0


@dataclasses.dataclass(frozen=True)
class Row:
    """A part, as a language, with a cell a column. Summaries are means over other parts."""

    part: str
    summary: bool
    script: str | None
    cells: tuple[Cell, ...]


@dataclasses.dataclass(frozen=True)
class Table:
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @property
    def metrics(self) -> list[str]:
        return list(dict.fromkeys(column.metric for column in self.columns))

    @property
    def has_scripts(self) -> bool:
        return any(row.script for row in self.rows)

    @property
    def text_columns(self) -> list[str]:
        """Headings of what stands left of the metrics."""
        return ["part", "script"] if self.has_scripts else ["part"]


@dataclasses.dataclass(frozen=True)
class Bar:
    part: str
    script: str | None
    values: tuple[float | None, ...]  # a value for each of the section's models


@dataclasses.dataclass(frozen=True)
class Bars:
    """A metric of the parts, the best one first, and of the summaries, in their own order."""

    metric: str
    parts: tuple[Bar, ...]
    summaries: tuple[Bar, ...]


@dataclasses.dataclass(frozen=True)
class Grid:
    """A metric from each source to each target.

    Args:
        values: for each of the section's models, [sources][targets]; None where there is none.
    """

    metric: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    values: tuple[list[list[float | None]], ...]

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the largest value of all models, whose heat maps share one scale."""
        known = [v for of in self.values for row in of for v in row if v is not None]
        return (min(known), max(known)) if known else (0.0, 1.0)


@dataclasses.dataclass(frozen=True)
class Section:
    """A benchmark on some data, with what all models have of it.

    Args:
        title: the benchmark, and its data's directory.
        models: numbers of the models that have it.
        runs: what their results say of it.
        curves: by part, a dict of columns for each of `models`, or None.
        failures: (model's number, part, what happened).
        notes: why figures may not be comparable.
    """

    title: str
    models: tuple[int, ...]
    runs: tuple[dict, ...]
    table: Table
    bars: Bars | None
    grids: tuple[Grid, ...]
    curves: dict[str, tuple[dict | None, ...]]
    failures: tuple[tuple[int, str, str], ...]
    notes: tuple[str, ...]


def label(model: int) -> str:
    """A short name for the model of a number: A, B, C, ..."""
    return chr(ord("A") + model) if model < 26 else f"M{model + 1}"


def title_of(metric: str, heading: str = "") -> str:
    """A metric's name, with a column's heading, and whether lower values are better."""
    title = f"{metric}, {heading}" if heading else metric
    return f"{title} (lower is better)" if lower_is_better(metric) else title


def has_values(rows: Sequence[Sequence[float | None]]) -> bool:
    """Whether there is anything in a grid."""
    return any(value is not None for row in rows for value in row)
