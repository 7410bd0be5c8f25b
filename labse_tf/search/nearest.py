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

# Rows of a tile; measured on 100,000 x 100,000: smaller ones lose by the fixed cost of a tile.
QUERIES, CANDIDATES = 512, 131_072
_READ = 16_384  # rows checked or rounded at a time
# How many more candidates than k are scored again: enough to make most queries certain.
SLACK = 12
# Scores are reduced to the maxima of blocks of 16, and those again, before top_k: max_pool reads
# scores at the speed of memory, while top_k compares one at a time.
_BLOCK = 16


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
    _check(queries, candidates, k, precision)
    kept = min(k + SLACK, len(candidates))
    rounding = _Rounding(precision)
    scores, indices = _kept(queries, candidates, kept, rounding, _best_by_blocks)
    outside = scores.min(axis=1, initial=np.inf)  # no candidate that was dropped scores higher
    scores, indices = rescore(queries, candidates, indices, k)
    if kept < len(candidates):
        unsure = np.flatnonzero(~(scores[:, -1] > rounding.upper_bounds(outside, queries)))
        if len(unsure):
            # On the CPU, since a GPU may compute float32 as TensorFloat-32.
            with tf.device("CPU"):
                rest = queries[unsure]
                _, again = _kept(rest, candidates, kept, _Rounding("float32"), _best)
            scores[unsure], indices[unsure] = rescore(rest, candidates, again, k)
    return scores, indices


def _check(queries: np.ndarray, candidates: np.ndarray, k: int, precision: str) -> None:
    if precision not in PRECISIONS:
        raise ValueError(f"`precision` (={precision!r}) must be one of {PRECISIONS}.")
    for name, rows in (("queries", queries), ("candidates", candidates)):
        if rows.ndim != 2 or rows.dtype not in (np.float32, np.float16):
            raise ValueError(
                f"`{name}` must be float32 or float16 [rows, dim], but it is {rows.dtype} "
                f"{list(rows.shape)}."
            )
        for start in range(0, len(rows), _READ):
            finite = np.isfinite(rows[start : start + _READ]).all(axis=1)
            if not finite.all():
                row = start + int(np.argmin(finite))
                raise ValueError(f"Row {row} of `{name}` holds NaN or infinity.")
    if queries.shape[1] != candidates.shape[1]:
        raise ValueError(
            f"`queries` {list(queries.shape)} and `candidates` {list(candidates.shape)} must be of "
            "the same dim."
        )
    if not 1 <= k <= len(candidates):
        raise ValueError(f"`k` (={k}) must be from 1 to the {len(candidates)} candidates.")


class _Rounding:
    """Rounds rows to the precision of a tile, and bounds the error of their scores."""

    def __init__(self, precision: str):
        self.dtype = tf.as_dtype(precision)
        self._norm = self._error = 0.0  # largest norms of a candidate and of its rounding error
        self._tensor_float = bool(tf.config.list_physical_devices("GPU")) and (
            tf.config.experimental.tensor_float_32_execution_enabled()
        )

    def queries(self, rows: np.ndarray) -> tf.Tensor:
        return tf.cast(tf.constant(rows), self.dtype)

    def candidates(self, rows: np.ndarray) -> tf.Tensor:
        rounded = []
        for start in range(0, len(rows), _READ):
            part = rows[start : start + _READ]
            norms, errors = self._norms(part)
            self._norm = max(self._norm, norms.max())
            self._error = max(self._error, errors.max())
            rounded.append(tf.cast(tf.constant(part), self.dtype))
        return tf.concat(rounded, axis=0)

    def upper_bounds(self, scores: np.ndarray, queries: np.ndarray) -> np.ndarray:
        """Upper bounds of the exact products whose rounded ones are at most `scores`: [queries].

        With q' for q rounded, q.c - q'.c' = (q - q').c + q'.(c - c'), each at most the product of
        the norms. The sum of the products loses at most one float32 epsilon for each of them, and
        a bfloat16 result at most half a unit in the last place, of 8 bits.
        """
        bounds = np.empty(len(queries))
        for start in range(0, len(queries), _READ):
            norms, errors = self._norms(queries[start : start + _READ])
            inputs = errors * self._norm + (norms + errors) * self._error
            sums = 2.0**-23 * queries.shape[1] * norms * self._norm
            bounds[start : start + _READ] = inputs + sums
        if self.dtype == tf.bfloat16:
            bounds += 2.0 ** (np.frexp(scores)[1] - 9.0)
        return scores + bounds

    def _norms(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of rows, and of their rounding errors: float64 [rows] each."""
        rows = tf.cast(tf.constant(rows), tf.float32)
        norms = tf.norm(rows, axis=1).numpy().astype(np.float64)
        if self.dtype == tf.float32:  # TensorFloat-32 has 11 bits
            return norms, norms * (2.0**-11 if self._tensor_float else 0)
        lost = rows - tf.cast(tf.cast(rows, self.dtype), tf.float32)
        return norms, tf.norm(lost, axis=1).numpy().astype(np.float64)


def _kept(
    queries: np.ndarray, candidates: np.ndarray, kept: int, rounding: _Rounding, best: Callable
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


def _parts(rows: tf.Tensor, kept: int, best: Callable) -> Iterator[tuple[int, tf.Tensor, Callable]]:
    """(start, candidates, function) of the part in whole blocks of blocks, and of the rest."""
    blocks = rows.shape[0] // _BLOCK**2
    split = blocks * _BLOCK**2 if best is _best_by_blocks and blocks >= kept else 0
    if split:
        yield 0, rows[:split], best
    if split < rows.shape[0]:
        yield split, rows[split:], _best


def _in_tiles(
    queries: np.ndarray, candidates: tf.Tensor, kept: int, rounding: _Rounding, best: Callable
) -> tuple[np.ndarray, np.ndarray]:
    scores = np.empty([len(queries), kept], np.float32)
    indices = np.empty([len(queries), kept], np.int64)
    for start in range(0, len(queries), QUERIES):
        part = slice(start, start + QUERIES)
        values, places = best(rounding.queries(queries[part]), candidates, tf.constant(kept))
        scores[part], indices[part] = values, places
    return scores, indices


@tf.function(autograph=False, reduce_retracing=True)
def _best(queries: tf.Tensor, candidates: tf.Tensor, kept: tf.Tensor):
    """Scores and rows of the candidates with the best scores; of equal ones, the first."""
    scores, indices = tf.math.top_k(tf.matmul(queries, candidates, transpose_b=True), kept)
    return tf.cast(scores, tf.float32), indices


@tf.function(autograph=False, reduce_retracing=True)
def _best_by_blocks(queries: tf.Tensor, candidates: tf.Tensor, kept: tf.Tensor):
    """As `_best`, but of equal ones any: the best scores are in the blocks of the best maxima.

    Block b of n holds candidates b, b + n, b + 2 n...: the layout that max_pool is fastest on.
    """
    scores = tf.matmul(queries, candidates, transpose_b=True)
    maxima = _block_maxima(scores)
    best = tf.math.top_k(_block_maxima(maxima), kept, sorted=False).indices
    for values in (maxima, scores):
        blocks = tf.shape(values)[1] // _BLOCK
        members = best[:, :, None] + blocks * tf.range(_BLOCK)
        members = tf.reshape(members, [tf.shape(values)[0], kept * _BLOCK])
        found, places = tf.math.top_k(tf.gather(values, members, batch_dims=1), kept, sorted=False)
        best = tf.gather(members, places, batch_dims=1)
    return tf.cast(found, tf.float32), best


def _block_maxima(values: tf.Tensor) -> tf.Tensor:
    rows, columns = tf.unstack(tf.shape(values))
    images = tf.reshape(values, [rows, _BLOCK, 1, columns // _BLOCK])
    maxima = tf.nn.max_pool(images, [_BLOCK, 1], [_BLOCK, 1], "VALID")
    return tf.reshape(maxima, [rows, columns // _BLOCK])
