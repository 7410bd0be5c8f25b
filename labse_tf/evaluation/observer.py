"""How an evaluation is followed: what it reads, what it measures, where it fails."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence


class Observer:
    """Callbacks of a benchmark as it runs; these do nothing.

    A benchmark has parts: languages, pairs of languages or tasks. Subclasses record what they are
    told, show progress, or let a part fail without ending the rest.
    """

    def progress(self, parts: Sequence[str]) -> Iterator[str]:
        """The parts, one after the other, as the benchmark comes to them."""
        return iter(parts)

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Surrounds the work on a part; here, errors within it end the evaluation."""
        yield

    def on_file(self, path: str | os.PathLike) -> None:
        """A file is about to be read."""

    def on_sentences(self, part: str, sentences: Sequence[str]) -> None:
        """A part's sentences were read; they show its script."""

    def on_metrics(self, part: str, metrics: Mapping[str, float]) -> None:
        """A part was measured: values by metric."""

    def on_published(self, part: str, metric: str, values: Mapping[str, float]) -> None:
        """What others have published for a metric, by their names."""

    def on_curve(self, part: str, columns: Mapping[str, Sequence[float]]) -> None:
        """A curve of a part: columns of equal length, the first one the abscissa."""
