"""Exact nearest neighbours by inner product, which is the cosine of unit rows.

Every query is scored against every candidate in tiles, so that memory does not grow with their
product. Tiles are computed in float32, or in bfloat16, which is twice as fast; then k + SLACK
candidates of each query are scored again in float32, and close ones in float64. Where, by a bound
on the rounding errors, others could be nearer, the query is searched again with a full top-k.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from labse_tf.encoder.precision import PRECISIONS
from labse_tf.search.rescoring import rescore
from labse_tf.search.rounding import READ, Rounding
from labse_tf.search.tiles import BLOCK, top, top_by_two_levels

# Rows of a tile; measured on 100,000 x 100,000: smaller ones lose by the fixed cost of a tile.
QUERIES, CANDIDATES = 512, 131_072
# How many more candidates than k are scored again: enough to make most queries certain.
SLACK = 12


def nearest(
    queries: np.ndarray, candidates: np.ndarray, k: int = 1, *, precision: str = "float32"
) -> tuple[np.ndarray, np.ndarray]:
    """The k candidates of largest inner product with each query.

    They are the same in either precision, ordered by their products in float64, rounded to float32;
    of equal products, as of duplicates, the first candidate comes first. Only if more than 12
    further candidates are equal to the k-th in float32, any of these may be among the k.

    Args:
        queries: float32 or float16 [queries, dim]; a memory map is read in parts.
        candidates: float32 or float16 [candidates, dim].
        k: neighbours of each query.
        precision: of the first scoring: "float32"; or "bfloat16", twice as fast where the CPU has
            instructions for it.

    Returns:
        The products float32 [queries, k], in descending order, and the candidates' row numbers
        int64 [queries, k].

    Raises:
        ValueError: the shapes do not fit, there are fewer candidates than k, a row holds NaN or
            infinity, or `precision` is unknown.
    """
    check_rows(queries, candidates, precision)
    if not 1 <= k <= len(candidates):
        raise ValueError(f"`k` (={k}) must be from 1 to the {len(candidates)} candidates.")
    kept = min(k + SLACK, len(candidates))
    rounding = Rounding(precision)
    scores, indices = _kept(queries, candidates, kept, rounding, _best_by_blocks)
    outside = scores.min(axis=1, initial=np.inf)  # no candidate that was dropped scores higher
    scores, indices = rescore(queries, candidates, indices, k)
    if kept < len(candidates):
        unsure = np.flatnonzero(~(scores[:, -1] > rounding.upper_bounds(outside, queries)))
        if len(unsure):
            scores[unsure], indices[unsure] = search_again(queries[unsure], candidates, k)
    return scores, indices


def search_again(
    queries: np.ndarray, candidates: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """As `nearest`, in float32 and with a full top-k: for queries that rounding makes unsure."""
    # On the CPU, since a GPU may compute float32 as TensorFloat-32.
    with tf.device("CPU"):
        kept = min(k + SLACK, len(candidates))
        _, indices = _kept(queries, candidates, kept, Rounding("float32"), _best)
    return rescore(queries, candidates, indices, k)


def check_rows(
    queries: np.ndarray,
    candidates: np.ndarray,
    precision: str,
    names: tuple[str, str] = ("queries", "candidates"),
) -> None:
    """Says what is wrong with two sides before they are searched.

    Args:
        queries: what must be float32 or float16 [rows, dim], of finite numbers.
        candidates: the same, of the same dim.
        precision: what must be one of `PRECISIONS`.
        names: what they are called in the message.

    Raises:
        ValueError: one is not.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"`precision` (={precision!r}) must be one of {PRECISIONS}.")
    for name, rows in zip(names, (queries, candidates)):
        if rows.ndim != 2 or rows.dtype not in (np.float32, np.float16):
            raise ValueError(
                f"`{name}` must be float32 or float16 [rows, dim], but it is {rows.dtype} "
                f"{list(rows.shape)}."
            )
        for start in range(0, len(rows), READ):
            finite = np.isfinite(rows[start : start + READ]).all(axis=1)
            if not finite.all():
                row = start + int(np.argmin(finite))
                raise ValueError(f"Row {row} of `{name}` holds NaN or infinity.")
    if queries.shape[1] != candidates.shape[1]:
        raise ValueError(
            f"`{names[0]}` {list(queries.shape)} and `{names[1]}` {list(candidates.shape)} must be "
            "of the same dim."
        )


def _kept(
    queries: np.ndarray, candidates: np.ndarray, kept: int, rounding: Rounding, best: Callable
) -> tuple[np.ndarray, np.ndarray]:
    """Scores and rows of the best candidates, [queries, kept], in descending order."""
    scores = np.empty([len(queries), 0], np.float32)
    indices = np.empty([len(queries), 0], np.int64)
    for first in range(0, len(candidates), CANDIDATES):
        rows = rounding.candidates(candidates[first : first + CANDIDATES])
        for start, part, how in _parts(rows, kept, best):
            values, places = _in_tiles(queries, part, min(kept, part.shape[0]), rounding, how)
            scores = np.concatenate([scores, values], axis=1)
            indices = np.concatenate([indices, places + (first + start)], axis=1)
            # Of equal scores top_k takes the first one.
            scores, order = tf.math.top_k(scores, min(kept, scores.shape[1]))
            indices = np.take_along_axis(indices, order.numpy(), axis=1)
    return np.asarray(scores), indices


def _in_tiles(
    queries: np.ndarray, candidates: tf.Tensor, kept: int, rounding: Rounding, best: Callable
) -> tuple[np.ndarray, np.ndarray]:
    scores = np.empty([len(queries), kept], np.float32)
    indices = np.empty([len(queries), kept], np.int64)
    for start in range(0, len(queries), QUERIES):
        part = slice(start, start + QUERIES)
        values, places = best(rounding.queries(queries[part]), candidates, tf.constant(kept))
        scores[part], indices[part] = values, places
    return scores, indices


def _parts(rows: tf.Tensor, kept: int, best: Callable) -> Iterator[tuple[int, tf.Tensor, Callable]]:
    """(start, candidates, function) of the part in whole blocks of blocks, and of the rest."""
    split = whole_blocks(rows.shape[0], kept) if best is _best_by_blocks else 0
    if split:
        yield 0, rows[:split], best
    if split < rows.shape[0]:
        yield split, rows[split:], _best


def whole_blocks(rows: int, kept: int) -> int:
    """How many of the candidates `top_by_two_levels` takes; the others are for `top`."""
    blocks = rows // BLOCK**2
    return blocks * BLOCK**2 if blocks >= kept else 0


@tf.function(autograph=False, reduce_retracing=True)
def _best(queries: tf.Tensor, candidates: tf.Tensor, kept: tf.Tensor):
    return top(tf.matmul(queries, candidates, transpose_b=True), kept)


@tf.function(autograph=False, reduce_retracing=True)
def _best_by_blocks(queries: tf.Tensor, candidates: tf.Tensor, kept: tf.Tensor):
    return top_by_two_levels(tf.matmul(queries, candidates, transpose_b=True), kept)
