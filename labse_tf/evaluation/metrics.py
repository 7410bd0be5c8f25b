"""The metrics of a benchmark: collected by part, averaged, and written as people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from labse_tf.evaluation.observer import Observer

MISSING = "–"


class Metrics:
    """Collects a benchmark's metrics, and tells an observer of each part's.

    Attributes:
        values: by "part/metric", as {"deu/accuracy": 0.9}.
    """

    def __init__(self, observer: Observer):
        self.observer = observer
        self.values: dict[str, float] = {}

    def add(self, part: str, metrics: Mapping[str, float]) -> None:
        """Adds the metrics of a part."""
        self.values.update({f"{part}/{metric}": float(value) for metric, value in metrics.items()})
        self.observer.on_metrics(part, metrics)

    def of(self, part: str) -> dict[str, float]:
        """The metrics of a part; none if it failed."""
        return {
            key[len(part) + 1 :]: value
            for key, value in self.values.items()
            if key.rpartition("/")[0] == part
        }

    def add_mean(self, name: str, parts: Sequence[str]) -> None:
        """Adds the means over parts, if there are any and none of them is missing or NaN."""
        rows = [self.of(part) for part in parts]
        if rows and all(rows):
            metrics = [m for m in rows[0] if all(math.isfinite(r.get(m, math.nan)) for r in rows)]
            self.add(name, {m: sum(row[m] for row in rows) / len(rows) for m in metrics})


def lower_is_better(metric: str) -> bool:
    return "error" in metric


def is_threshold(metric: str) -> bool:
    return "threshold" in metric


def format_metric(metric: str, value: float | None, sign: str = "") -> str:
    """A value as it is shown: x100 with one decimal; thresholds as they are, with four.

    Args:
        metric: decides how.
        value: None if it is missing.
        sign: "+" for differences.
    """
    if value is None:
        return MISSING
    text = f"{value:{sign}.4f}" if is_threshold(metric) else f"{value * 100:{sign}.1f}"
    # Neither -0.0 nor +0.0: what is shown as zero has no sign.
    return text if text.strip("+-0.") else text.lstrip("+-")
