"""Exact nearest neighbours by inner product: of unit rows, by cosine.

Every query is scored against every candidate in tiles, so that memory does not grow with their
product. Tiles are computed in bfloat16 where that is wanted, twice as fast, or in float32; more
candidates than asked for are then scored anew. Whether the nearest can be others follows from how
much the rounding may have moved a score: where they can, a query is searched for once more, in
float32 and without shortcuts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from labse_tf.encoder.precision import PRECISIONS

# Rows of a tile. Measured on 100,000 x 100,000: larger ones gain nothing, smaller ones lose to
# what is done once a tile.
QUERIES, CANDIDATES = 512, 131_072
_READ = 16_384  # rows looked at or rounded at a time
# How many more candidates are scored anew than asked for: enough for most queries to be certain.
SLACK = 12
# Scores are reduced to the maxima of blocks of 16, and those again, before the best are looked for:
# max_pool reads them once, at the memory's speed, where top_k compares one at a time.
_BLOCK = 16
# Neighbours whose scores are this near to each other are put in order by float64.
_CLOSE = 1e-5


def nearest(
    queries: np.ndarray, candidates: np.ndarray, k: int = 1, *, precision: str = "float32"
) -> tuple[np.ndarray, np.ndarray]:
    """The k candidates of largest inner product with each query.

    They are the same in either precision, and in the order of the products in float64, rounded to
    float32; of equal ones, as of duplicates, the first comes first. Only if more than 12 candidates
    beyond the k are so near to the last of them that float32 cannot tell them apart, others of
    these may be among the k.

    Args:
        queries: float32 [queries, dim]; a memory map is read in parts.
        candidates: float32 [candidates, dim].
        k: how many for each query.
        precision: of the first scoring: "float32"; or "bfloat16", twice as fast where the CPU has
            instructions for it.

    Returns:
        The products float32 [queries, k], falling, and the rows of the candidates int64
        [queries, k].

    Raises:
        ValueError: the shapes do not fit, there are fewer candidates than k, a row holds NaN or
            infinity, or there is no such precision.
    """
    _check(queries, candidates, k, precision)
    kept = min(k + SLACK, len(candidates))
    rounding = _Rounding(precision)
    scores, indices = _kept(queries, candidates, kept, rounding, _best_by_blocks)
    outside = scores.min(axis=1, initial=np.inf)  # no candidate that was not kept scores higher
    scores, indices = _scored_anew(queries, candidates, indices, k)
    if kept < len(candidates):
        unsure = np.flatnonzero(~(scores[:, -1] > rounding.undo(outside, queries)))
        if len(unsure):
            # The CPU's float32 is float32; a GPU's may be TensorFloat-32.
            with tf.device("CPU"):
                rest = queries[unsure]
                _, again = _kept(rest, candidates, kept, _Rounding("float32"), _best)
            scores[unsure], indices[unsure] = _scored_anew(rest, candidates, again, k)
    return scores, indices


def _check(queries: np.ndarray, candidates: np.ndarray, k: int, precision: str) -> None:
    if precision not in PRECISIONS:
        raise ValueError(f"`precision` (={precision!r}) must be one of {PRECISIONS}.")
    for name, rows in (("queries", queries), ("candidates", candidates)):
        if rows.ndim != 2 or rows.dtype != np.float32:
            raise ValueError(
                f"`{name}` must be float32 [rows, dim], but it is {rows.dtype} {list(rows.shape)}."
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
    """Rounds rows to the precision of a tile, and knows how far it may have moved a score."""

    def __init__(self, precision: str):
        self.dtype = tf.as_dtype(precision)
        self._norm = self._error = 0.0  # the largest of a candidate, and of what it lost
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

    def undo(self, scores: np.ndarray, queries: np.ndarray) -> np.ndarray:
        """What no candidate's exact score exceeds, if its score did not exceed these.

        With q' for q rounded, q.c - q'.c' = (q - q').c + q'.(c - c'), each at most the product of
        the norms. Adding the products up loses a unit of float32 for each of them at most, and a
        bfloat16 result half a unit of its last place, of 8 bits.
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
        rows = tf.constant(rows)
        norms = tf.norm(rows, axis=1).numpy().astype(np.float64)
        if self.dtype == tf.float32:  # TensorFloat-32 has 11 bits
            return norms, norms * (2.0**-11 if self._tensor_float else 0)
        lost = rows - tf.cast(tf.cast(rows, self.dtype), tf.float32)
        return norms, tf.norm(lost, axis=1).numpy().astype(np.float64)


def _kept(
    queries: np.ndarray, candidates: np.ndarray, kept: int, rounding: _Rounding, best: Callable
) -> tuple[np.ndarray, np.ndarray]:
    """The candidates that score best: their scores and rows [queries, kept], in falling order."""
    scores = np.empty([len(queries), 0], np.float32)
    indices = np.empty([len(queries), 0], np.int64)
    for first in range(0, len(candidates), CANDIDATES):
        rows = rounding.candidates(candidates[first : first + CANDIDATES])
        for start, part, how in _parts(rows, kept, best):
            values, places = _in_tiles(queries, part, min(kept, part.shape[0]), rounding, how)
            scores = np.concatenate([scores, values], axis=1)
            indices = np.concatenate([indices, places + (first + start)], axis=1)
            # Of equal scores top_k takes the first.
            scores, order = tf.math.top_k(scores, min(kept, scores.shape[1]))
            indices = np.take_along_axis(indices, order.numpy(), axis=1)
    return np.asarray(scores), indices


def _parts(rows: tf.Tensor, kept: int, best: Callable) -> Iterator[tuple[int, tf.Tensor, Callable]]:
    """Where candidates are cut: into blocks of blocks, if there are enough, and the rest."""
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
    """Scores and rows of the candidates that score best; of equal ones, the first."""
    scores, indices = tf.math.top_k(tf.matmul(queries, candidates, transpose_b=True), kept)
    return tf.cast(scores, tf.float32), indices


@tf.function(autograph=False, reduce_retracing=True)
def _best_by_blocks(queries: tf.Tensor, candidates: tf.Tensor, kept: tf.Tensor):
    """As `_best`, but of equal ones any: the best are in the blocks of the best maxima.

    Block b of n holds candidates b, b + n, b + 2 n...: pooling is fastest over such.
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


def _scored_anew(
    queries: np.ndarray, candidates: np.ndarray, indices: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The best k of some candidates [queries, kept], and their scores, in order."""
    scores = np.empty([len(queries), k], np.float32)
    best = np.empty([len(queries), k], np.int64)

    def score(start: int) -> None:
        part = slice(start, start + QUERIES)
        some = np.sort(indices[part], axis=1)  # of equal scores, the first comes first
        values = _products(queries[part], np.take(candidates, some, axis=0))
        order = np.argsort(-values, axis=1, kind="stable")
        ranked = np.take_along_axis(values, order, axis=1)[:, : k + 1]
        close = np.flatnonzero((ranked[:, :-1] - ranked[:, 1:] < _CLOSE).any(axis=1))
        if len(close):
            rows, again = queries[part][close], candidates[some[close]]
            exact = _products(rows.astype(np.float64), again.astype(np.float64))
            values[close] = exact
            order[close] = np.argsort(-exact.astype(np.float32), axis=1, kind="stable")
        order = order[:, :k]
        scores[part] = np.take_along_axis(values, order, axis=1)
        best[part] = np.take_along_axis(some, order, axis=1)

    with ThreadPoolExecutor() as threads:  # NumPy lets go of the interpreter's lock
        for _ in threads.map(score, range(0, len(queries), QUERIES)):
            pass
    return scores, best


def _products(queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Of each query [n, dim] with its own candidates [n, kept, dim]."""
    return np.matmul(candidates, queries[:, :, None])[:, :, 0]
