"""How an evaluation is followed: what it reads, finds and fails at."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence


class Watch:
    """What a benchmark tells of itself as it goes; this one listens to nothing.

    Subclasses show progress, or let a part fail without ending the rest.
    """

    def over(self, parts: Sequence[str]) -> Iterator[str]:
        """The parts, as languages, one after the other."""
        return iter(parts)

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Surrounds the work on a part; errors within it end the evaluation here."""
        yield

    def reads(self, path: str | os.PathLike) -> None:
        """A file is about to be read."""

    def found(self, part: str, figures: Mapping[str, float]) -> None:
        """A part's figures, by metric, are known."""

    def script(self, part: str, sentences: Sequence[str]) -> None:
        """What a part is written in can be seen by these sentences."""

    def published(self, part: str, metric: str, figures: Mapping[str, float]) -> None:
        """What others have published for a figure, by their names."""

    def curve(self, part: str, columns: Mapping[str, Sequence[float]]) -> None:
        """A curve of a part: columns of equal length, the first one the abscissa."""


class Figures:
    """Collects the figures of a benchmark, and tells a watch of each part's."""

    def __init__(self, watch: Watch):
        self.watch = watch
        self.all: dict[str, float] = {}

    def add(self, part: str, figures: Mapping[str, float]) -> None:
        """Adds the figures of a part."""
        self.all.update({f"{part}/{metric}": float(value) for metric, value in figures.items()})
        self.watch.found(part, figures)

    def of(self, part: str) -> dict[str, float]:
        """The figures of a part by metric; none if it failed."""
        return {
            key[len(part) + 1 :]: value
            for key, value in self.all.items()
            if key.rpartition("/")[0] == part
        }

    def add_mean(self, name: str, parts: Sequence[str]) -> None:
        """Adds the means over parts, if there are any and none of them is missing."""
        rows = [self.of(part) for part in parts]
        if rows and all(rows):
            metrics = [metric for metric in rows[0] if all(metric in row for row in rows)]
            self.add(name, {m: sum(row[m] for row in rows) / len(rows) for m in metrics})
