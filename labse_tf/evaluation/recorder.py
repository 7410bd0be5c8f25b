"""What an evaluation was, as it is written to a file: metrics, data, failures."""

from __future__ import annotations

import collections
import contextlib
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence

from labse_tf.evaluation.metrics import format_metric
from labse_tf.evaluation.observer import Observer
from labse_tf.files.checksums import checksum
from labse_tf.progress_bars import ProgressBar, progress_bar
from labse_tf.tokenization.scripts import scripts_in


class Recorder(Observer):
    """Records a benchmark, and shows it if that is wanted.

    A part that fails with OSError or ValueError (its data, its embeddings) does not end the rest. A
    metric that is NaN or infinite is None, which JSON has, and a failure; a point of a curve with
    such a value is left out.

    Args:
        name: of the benchmark.
        show_metrics: whether to write a line a part to stdout when it is measured.
        show_progress: whether to draw a progress bar on stderr; None: on a terminal, or in
            a notebook.
    """

    def __init__(self, name: str, show_metrics: bool = False, show_progress: bool | None = False):
        self.metrics: dict[str, float | None] = {}
        self.failures: dict[str, str] = {}
        self.files: dict[str, str] = {}
        self.scripts: dict[str, str] = {}
        self.published: dict[str, dict[str, float]] = {}
        self.curves: dict[str, dict[str, list[float]]] = {}
        self._name, self._show_metrics = name, show_metrics
        self._show_progress = show_progress

    def progress(self, parts: Sequence[str]) -> Iterator[str]:
        with progress_bar(parts, show=self._show_progress, desc=self._name, leave=False) as bar:
            for part in bar:
                bar.set_postfix_str(part)
                yield part

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            self.failures[name] = str(error)
            self._say(f"{name:24} failed: {error}")

    def on_file(self, path: str | os.PathLike) -> None:
        name = os.path.basename(path)
        if name not in self.files:
            self.files[name] = checksum(os.fspath(path))

    def on_metrics(self, part: str, metrics: Mapping[str, float]) -> None:
        known = {name: float(v) if math.isfinite(v) else None for name, v in metrics.items()}
        for metric, value in known.items():
            self.metrics[f"{part}/{metric}"] = value
            if value is None:
                self.failures[f"{part}/{metric}"] = f"is {metrics[metric]}"
        if ">" not in part:  # of n-way retrieval's n * n pairs the report has a picture
            shown = "   ".join(f"{name} {format_metric(name, v)}" for name, v in known.items())
            self._say(f"{part:24} {shown}")

    def on_sentences(self, part: str, sentences: Sequence[str]) -> None:
        counts = collections.Counter(s for text in sentences for s in scripts_in(text))
        if counts:
            script = counts.most_common(1)[0][0]  # as in Unicode's names of characters
            self.scripts[part] = "Han" if script == "CJK" else script.capitalize()

    def on_published(self, part: str, metric: str, values: Mapping[str, float]) -> None:
        if values:
            self.published[f"{part}/{metric}"] = dict(values)

    def on_curve(self, part: str, columns: Mapping[str, Sequence[float]]) -> None:
        points = [point for point in zip(*columns.values()) if all(map(math.isfinite, point))]
        self.curves[part] = {name: [point[i] for point in points] for i, name in enumerate(columns)}

    def _say(self, line: str) -> None:
        if self._show_metrics:
            ProgressBar.write(f"{self._name:10} {line}", file=sys.stdout)
            sys.stdout.flush()
