"""Candidates scored again, exactly: in float32, and in float64 where they are close."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from labse_tf.search.neighbours import NO_ROW

# Candidates at a time, each thread, of all queries together: 24 MiB of float32 at 768 dimensions.
_CANDIDATES = 8192
# Neighbours whose scores differ by less are ordered by float64.
_CLOSE = 1e-5


def rescore(
    queries: np.ndarray, candidates: np.ndarray, indices: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The best k of each query's candidates, ordered by their products in float64.

    Args:
        queries: float32 or float16 [queries, dim]; a memory map is read in parts.
        candidates: float32 or float16 [candidates, dim].
        indices: int64 [queries, kept], rows of candidates, each once; `NO_ROW` for none.
        k: at most `kept`.

    Returns:
        The products float32 [queries, k], in descending order, and the candidates' rows int64
        [queries, k]; of equal products the first row comes first. -inf and `NO_ROW` where a query
        has fewer than k candidates.
    """
    step = max(1, _CANDIDATES // max(1, indices.shape[1]))
    scores = np.empty([len(queries), k], np.float32)
    best = np.empty([len(queries), k], np.int64)

    def score(start: int) -> None:
        part = slice(start, start + step)
        some = np.sort(indices[part], axis=1)  # of equal scores, the first comes first
        none = some == NO_ROW
        own = queries[part].astype(np.float32, copy=False)
        others = np.take(candidates, some, axis=0).astype(np.float32, copy=False)
        values = _products(own, others)
        values[none] = -np.inf
        order = np.argsort(-values, axis=1, kind="stable")
        ranked = np.take_along_axis(values, order, axis=1)[:, : k + 1]
        with np.errstate(invalid="ignore"):  # -inf less -inf
            close = np.flatnonzero((ranked[:, :-1] - ranked[:, 1:] < _CLOSE).any(axis=1))
        if len(close):
            rows, again = own[close], others[close]
            exact = _products(rows.astype(np.float64), again.astype(np.float64))
            exact[none[close]] = -np.inf
            values[close] = exact
            order[close] = np.argsort(-exact.astype(np.float32), axis=1, kind="stable")
        order = order[:, :k]
        scores[part] = np.take_along_axis(values, order, axis=1)
        best[part] = np.take_along_axis(some, order, axis=1)

    with ThreadPoolExecutor() as threads:  # NumPy releases the GIL
        for _ in threads.map(score, range(0, len(queries), step)):
            pass
    return scores, best


def _products(queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """[n, kept] products of queries [n, dim] with their own candidates [n, kept, dim]."""
    return np.matmul(candidates, queries[:, :, None])[:, :, 0]
