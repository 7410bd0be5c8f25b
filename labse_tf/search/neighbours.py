"""Neighbours: the nearest rows on the other side, of both sides; and how lists of them merge."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

_BLOCK = 2**19  # elements; a few temporary arrays of so many take about 20 MB
NO_ROW = -1  # where fewer neighbours were found than asked for; its score is -inf


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """The nearest targets of each source and the nearest sources of each target, best first.

    Args:
        target_scores: float32 [sources, k], products.
        targets: int64 [sources, k], rows of targets.
        source_scores: float32 [targets, k].
        sources: int64 [targets, k], rows of sources.

    k may differ between the sides, where one has fewer rows. A row is `NO_ROW` and its score -inf
    where a search that is not exact found no further neighbour.
    """

    target_scores: np.ndarray
    targets: np.ndarray
    source_scores: np.ndarray
    sources: np.ndarray


def none_yet(count: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores float32 [count, k] and rows int64 [count, k] of no neighbours, to merge into."""
    return np.full([count, k], -np.inf, np.float32), np.full([count, k], NO_ROW, np.int64)


def merge_top_k(
    scores: np.ndarray, rows: np.ndarray, more_scores: np.ndarray, more_rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The best k of two sets of candidates of each query, each candidate once.

    The result does not depend on which of the two came first: it is ordered by falling score, of
    equal scores by row; of a candidate that is in both, the higher score counts.

    Args:
        scores: float [queries, k], -inf where there is none.
        rows: int64 [queries, k], `NO_ROW` where there is none; else none twice.
        more_scores: float [queries, m].
        more_rows: int64 [queries, m]; none twice.

    Returns:
        The scores float32 [queries, k] and the rows int64 [queries, k].
    """
    best = none_yet(*scores.shape)
    for part in row_blocks(len(scores), scores.shape[1] + more_scores.shape[1]):
        best[0][part], best[1][part] = _merge_block(
            scores[part], rows[part], more_scores[part], more_rows[part]
        )
    return best


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Yield the rows of a large array in blocks, so that temporary arrays stay small."""
    step = max(1, _BLOCK // max(1, columns))
    return (slice(start, start + step) for start in range(0, rows, step))


def _merge_block(
    scores: np.ndarray, rows: np.ndarray, more_scores: np.ndarray, more_rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    k = scores.shape[1]
    scores = np.concatenate([scores, more_scores], axis=1, dtype=np.float32)
    rows = np.concatenate([rows, more_rows], axis=1, dtype=np.int64)
    order = np.argsort(rows, axis=1, kind="stable")
    scores, rows = (np.take_along_axis(x, order, axis=1) for x in (scores, rows))
    again = rows[:, 1:] == rows[:, :-1]
    np.maximum(scores[:, :-1], scores[:, 1:], out=scores[:, :-1], where=again)
    scores[:, 1:][again] = -np.inf
    rows[:, 1:][again] = NO_ROW
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)
