"""The figures of a report: how scores are distributed, what thresholds keep, pairs of each band."""

from __future__ import annotations

import dataclasses

import numpy as np

from labse_tf.evaluation.benchmarks.mining import Ranked
from labse_tf.mining.run import Mined

_BARS, _THRESHOLDS, _BANDS, _SAMPLES = 60, 20, 10, 10


@dataclasses.dataclass(frozen=True)
class Threshold:
    """What a least score keeps.

    Args:
        score: the threshold.
        pairs: that have it at least.
        share: of all pairs.
        measured: precision, recall and F1, if right pairs are known.
    """

    score: float
    pairs: int
    share: float
    measured: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Band:
    """Pairs whose scores are from `low` to below `high`.

    Args:
        low: score.
        high: score.
        pairs: how many.
        samples: some of them, drawn at random: score, cosine, source, target; best first.
    """

    low: float
    high: float
    pairs: int
    samples: list[tuple[float, float, str, str]]


@dataclasses.dataclass(frozen=True)
class Figures:
    """All figures of a report.

    Args:
        edges: of the histogram's bars.
        counts: of the pairs in them.
        thresholds: of falling score.
        bands: of falling score; empty ones are left out.
        curve: precision, recall and F1 along the threshold, if right pairs are known.
        kept: the share of the pairs that is kept along the threshold.

    Without pairs, everything is empty.
    """

    edges: list[float]
    counts: list[int]
    thresholds: list[Threshold]
    bands: list[Band]
    curve: dict[str, list[float]] | None
    kept: dict[str, list[float]]


def figures_of(found: Mined, measured: Ranked | None, seed: int) -> Figures:
    """Compute the figures of the mined pairs.

    Args:
        found: the pairs.
        measured: the pairs and which are right.
        seed: of the samples.
    """
    scores = found.pairs.scores.astype(np.float64)
    if not len(scores):
        return Figures([], [], [], [], None, {})
    low, high = float(scores.min()), float(scores.max())
    counts, edges = np.histogram(scores, bins=_BARS, range=(low, high) if low < high else None)
    thresholds = [
        _threshold(score, scores, measured) for score in np.linspace(high, low, _THRESHOLDS + 1)[1:]
    ]
    along = np.linspace(low, high, 101)
    kept = {
        "threshold": along.tolist(),
        "share kept": [float(np.mean(scores >= score)) for score in along],
    }
    curve = measured.curve() if measured is not None and len(measured.scores) else None
    return Figures(edges.tolist(), counts.tolist(), thresholds, _bands(found, seed), curve, kept)


def _threshold(score: float, scores: np.ndarray, measured: Ranked | None) -> Threshold:
    count = int(np.count_nonzero(scores >= score))
    return Threshold(
        float(score), count, count / len(scores), {} if measured is None else measured.at(score)
    )


def _bands(found: Mined, seed: int) -> list[Band]:
    scores = found.pairs.scores
    edges = np.linspace(scores.min(), scores.max(), _BANDS + 1)
    band_of = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, _BANDS - 1)
    rng = np.random.default_rng(seed)
    bands = []
    for i in reversed(range(_BANDS)):
        places = np.flatnonzero(band_of == i)
        if not len(places):
            continue
        drawn = np.sort(rng.choice(places, min(_SAMPLES, len(places)), replace=False))
        rows = found.pairs.rows[drawn]
        texts = (side.read(of)[1] for side, of in zip(found.sides, rows.T))
        numbers = scores[drawn].tolist(), found.cosines[drawn].tolist()
        samples = list(zip(*numbers, *texts))
        bands.append(Band(float(edges[i]), float(edges[i + 1]), len(places), samples))
    return bands
