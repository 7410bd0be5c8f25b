"""What an evaluation was, as it is written to a file: figures, data, failures."""

from __future__ import annotations

import collections
import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence

from tqdm import tqdm

from labse_tf.evaluation.observer import Watch
from labse_tf.files.checksums import checksum
from labse_tf.tokenization.scripts import scripts_in


class Recorder(Watch):
    """Records a benchmark, and shows it if that is wanted.

    A part that fails for its data or embeddings does not end the rest.

    Args:
        name: of the benchmark.
        show_figures: whether to write a line a part to stdout when it is known.
        show_progress: whether to draw a progress bar on stderr; None: if it is a terminal.
    """

    def __init__(self, name: str, show_figures: bool = False, show_progress: bool | None = False):
        self.figures: dict[str, float] = {}
        self.failures: dict[str, str] = {}
        self.files: dict[str, str] = {}
        self.scripts: dict[str, str] = {}
        self.references: dict[str, dict[str, float]] = {}
        self.curves: dict[str, dict[str, list[float]]] = {}
        self._name, self._show_figures = name, show_figures
        self._hidden = None if show_progress is None else not show_progress

    def over(self, parts: Sequence[str]) -> Iterator[str]:
        with tqdm(parts, desc=self._name, disable=self._hidden, leave=False) as bar:
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

    def reads(self, path: str | os.PathLike) -> None:
        name = os.path.basename(path)
        if name not in self.files:
            self.files[name] = checksum(os.fspath(path))

    def found(self, part: str, figures: Mapping[str, float]) -> None:
        for metric, value in figures.items():
            self.figures[f"{part}/{metric}"] = float(value)
        if ">" not in part:  # of n-way retrieval's n * n pairs the report has a picture
            self._say(f"{part:24} {'   '.join(f'{m} {shown(m, v)}' for m, v in figures.items())}")

    def script(self, part: str, sentences: Sequence[str]) -> None:
        counts = collections.Counter(s for text in sentences for s in scripts_in(text))
        if counts:
            script = counts.most_common(1)[0][0]  # as in Unicode's names of characters
            self.scripts[part] = "Han" if script == "CJK" else script.capitalize()

    def published(self, part: str, metric: str, figures: Mapping[str, float]) -> None:
        if figures:
            self.references[f"{part}/{metric}"] = dict(figures)

    def curve(self, part: str, columns: Mapping[str, Sequence[float]]) -> None:
        self.curves[part] = {name: list(values) for name, values in columns.items()}

    def _say(self, line: str) -> None:
        if self._show_figures:
            tqdm.write(f"{self._name:10} {line}", file=sys.stdout)
            sys.stdout.flush()


def shown(metric: str, value: float) -> str:
    """A figure as it is read: in percent, but for thresholds."""
    return f"{value:.4f}" if "threshold" in metric else f"{100 * value:.1f}"
