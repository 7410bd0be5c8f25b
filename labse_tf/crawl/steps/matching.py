"""Margins of neighbours, best partners, and pairs by a strategy, of rows that lie in shards.

The same scores as `labse_tf.search.margins.align`, which holds both sides in memory.
"""

from __future__ import annotations

import numpy as np

from labse_tf.search.margins import margin_scores
from labse_tf.search.neighbours import NO_ROW

# The best partner of a row; `NO_ROW`, -inf and 0 of one that has no neighbours.
PARTNER = np.dtype([("row", "<i8"), ("score", "<f4"), ("cosine", "<f4")])
PAIR = np.dtype([("source", "<i8"), ("target", "<i8"), ("score", "<f4"), ("cosine", "<f4")])


def neighbours_dtype(k: int) -> np.dtype:
    """Of a row's neighbours: `score` float32 [k], cosines, and `row` int64 [k]."""
    return np.dtype([("score", "<f4", (k,)), ("row", "<i8", (k,))])


def mean_scores(scores: np.ndarray) -> np.ndarray:
    """The mean of each row's cosines, float32 [rows], of those that were found; 0 without any.

    Args:
        scores: float32 [rows, k], -inf where none was found.
    """
    found = np.isfinite(scores)
    sums = np.where(found, scores, 0).sum(axis=1, dtype=np.float32)
    return sums / np.maximum(found.sum(axis=1), 1).astype(np.float32)


def best_partners(
    neighbours: np.ndarray, means: np.ndarray, other_means: np.ndarray, margin: str
) -> np.ndarray:
    """The neighbour of the best margin of each row; of equal ones the nearest.

    Args:
        neighbours: `neighbours_dtype` [rows].
        means: float32 [rows].
        other_means: float32 [rows, k], of the neighbours; anything where there is none.
        margin: as of `labse_tf.search.margins.align`.

    Returns:
        `PARTNER` [rows].
    """
    scores, rows = neighbours["score"], neighbours["row"]
    found = rows != NO_ROW
    with np.errstate(invalid="ignore", divide="ignore"):
        margins = margin_scores(scores, means[:, None], other_means, margin)
    margins = np.where(found & ~np.isnan(margins), margins, -np.inf).astype(np.float32)
    best = margins.argmax(axis=1)[:, None]
    partners = np.empty(len(rows), PARTNER)
    partners["row"] = np.take_along_axis(rows, best, axis=1)[:, 0]
    partners["score"] = np.take_along_axis(margins, best, axis=1)[:, 0]
    cosines = np.take_along_axis(scores, best, axis=1)[:, 0]
    partners["cosine"] = np.where(np.isfinite(cosines), cosines, 0)
    return partners


def one_to_one(pairs: np.ndarray) -> np.ndarray:
    """Pairs by falling score, each whose source and target are not in a pair before it: `PAIR`.

    Of equal scores, the first in the order given: as `Alignment.pairs("max")`.

    Args:
        pairs: `PAIR`, those of sources first, then those of targets.
    """
    order = np.argsort(-pairs["score"], kind="stable")
    places = [np.unique(pairs[side][order], return_inverse=True) for side in ("source", "target")]
    taken = [bytearray(len(numbers)) for numbers, _ in places]
    kept = []
    for row, source, target in zip(order.tolist(), *(place.tolist() for _, place in places)):
        if not taken[0][source] and not taken[1][target]:
            taken[0][source] = taken[1][target] = 1
            kept.append(row)
    return pairs[kept]


def ranked(pairs: np.ndarray) -> np.ndarray:
    """Pairs by falling score, then by source and target."""
    return pairs[np.lexsort((pairs["target"], pairs["source"], -pairs["score"]))]
