"""Neighbours of both sides by inverted lists: most of the exact ones at a part of the comparisons.

The rows of both sides are assigned to the lists whose centroids are nearest, and compared within
their lists only. Both sides stand in several lists: of de-en, sources in 8 and targets in 4 of 256
lists find 96.3% of the nearest neighbours at 10.5% of the comparisons, where 16 probes of one side
find 87.6% at 6.2%.

The pieces are functions of arrays, for one machine and for the steps of a cluster:

    train_centroids(sample, lists, seed=0, iterations=10) -> float32 [lists, dim]
    assign(rows, centroids, count) -> int32 [rows, count], nearest list first
    group_by_list(assigned, lists) -> (rows int64 [rows * count], starts int64 [lists + 1])
    search_list(sources, targets, k, precision="float32") -> Neighbours, rows of the arrays given
    merge_top_k(scores, rows, more_scores, more_rows) -> (scores, rows), of search.neighbours
    rescore(queries, candidates, indices, k) -> (scores, rows), of search.rescoring

Neighbours that are missed lower the means of a margin and so raise the margins: choose thresholds
with the lists that are used.
"""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf

from labse_tf.encoder.precision import PRECISIONS
from labse_tf.files.hashes import digests
from labse_tf.search.neighbours import Neighbours, merge_top_k, none_yet
from labse_tf.search.tiles import BLOCK, top, top_by_blocks

# A larger list is searched in blocks of so many rows a side: 144 MiB of products in float32.
LIST_ROWS = 6144
_FEW = 16 * BLOCK  # scores whose maxima are not worth it
_READ = 16_384  # rows assigned at a time


def train_centroids(
    sample: np.ndarray, lists: int, seed: int = 0, iterations: int = 10
) -> np.ndarray:
    """Centroids by spherical k-means: unit rows that the rows of a sample are near to.

    Args:
        sample: float32 or float16 [rows, dim], unit rows drawn at random from both sides; some 50
            of each list are enough.
        lists: Number of centroids, at most the number of rows.
        seed: of the first centroids. The same sample and seed give the same centroids.
        iterations: of k-means.

    Returns:
        float32 [lists, dim]. If the sample has at most `lists` distinct rows, these rows are the
        centroids: more centroids would be near-duplicates, among which rounding chooses.

    Raises:
        ValueError: `lists` is not from 1 to the number of rows.
    """
    if not 1 <= lists <= len(sample):
        raise ValueError(
            f"`lists` (={lists}) must be from 1 to the {len(sample)} rows to train on."
        )
    rng = np.random.default_rng(seed)
    sample = np.asarray(sample, np.float32)
    _, distinct = np.unique(digests(map(bytes, sample)), axis=0, return_index=True)
    if len(distinct) <= lists:
        return sample[np.sort(distinct)]
    centroids = sample[np.sort(rng.choice(len(sample), lists, replace=False))]
    for _ in range(iterations):
        nearest = assign(sample, centroids, 1)[:, 0]
        rows, starts = group_by_list(nearest[:, None], lists)
        sizes = np.diff(starts)
        full = np.flatnonzero(sizes)
        sums = np.add.reduceat(sample[rows], starts[:-1][full], axis=0)
        centroids = centroids.copy()
        centroids[full] = _unit(sums)
        if len(empty := np.flatnonzero(sizes == 0)):
            # An empty list starts again at a row of one of the largest lists. If there are more
            # empty lists than others, several of them start in the same list.
            largest = np.resize(np.argsort(-sizes, kind="stable")[: len(full)], len(empty))
            picked = starts[:-1][largest] + rng.integers(sizes[largest])
            centroids[empty] = sample[rows[picked]]
    return centroids


def assign(rows: np.ndarray, centroids: np.ndarray, count: int) -> np.ndarray:
    """The `count` lists whose centroids are nearest to each row, nearest first.

    Args:
        rows: float32 or float16 [rows, dim]; a memory map is read in parts.
        centroids: float32 [lists, dim].
        count: lists of a row; all, if there are fewer.

    Returns:
        int32 [rows, min(count, lists)].
    """
    count = min(count, len(centroids))
    result = np.empty([len(rows), count], np.int32)
    lists, kept = tf.constant(centroids, tf.float32), tf.constant(count)
    for start in range(0, len(rows), _READ):
        part = np.asarray(rows[start : start + _READ], np.float32)
        result[start : start + _READ] = _nearest_lists(part, lists, kept)
    return result


def group_by_list(assigned: np.ndarray, lists: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of each list: those of list i are `rows[starts[i] : starts[i + 1]]`, ascending.

    Args:
        assigned: int32 [rows, count], from 0 to lists - 1.
        lists: how many there are.

    Returns:
        Rows int64 [rows * count] and starts int64 [lists + 1].
    """
    flat = assigned.ravel()
    order = np.argsort(flat, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(flat, minlength=lists))])
    return order // assigned.shape[1], starts


def search_list(
    sources: np.ndarray, targets: np.ndarray, k: int, precision: str = "float32"
) -> Neighbours:
    """The neighbours in one list, of both sides, from one scoring of all with all.

    Large lists are searched in blocks of `LIST_ROWS`, so that memory is bounded.

    Args:
        sources: float32 or float16 [sources, dim].
        targets: float32 or float16 [targets, dim].
        k: neighbours of each row; where the other side has fewer, the rest is `NO_ROW`.
        precision: of the scores, "float32" or "bfloat16", which is faster where the CPU has
            instructions for it, but off by 0.004: keep more than are needed, and score them again.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"`precision` (={precision!r}) must be one of {PRECISIONS}.")
    dtype = tf.as_dtype(precision)
    forward, backward = none_yet(len(sources), k), none_yet(len(targets), k)
    if not len(sources) or not len(targets):
        return Neighbours(*forward, *backward)
    blocks = [
        [(start, tf.cast(side[start : start + LIST_ROWS], dtype)) for start in _starts(side)]
        for side in (sources, targets)
    ]
    for row, own in blocks[0]:
        for column, other in blocks[1]:
            few = len(other) < _FEW, len(own) < _FEW
            found = _both_ways(dtype, few)(own, other, tf.constant(k))
            _merge_part(forward, row, found[0].numpy(), found[1].numpy().astype(np.int64) + column)
            _merge_part(backward, column, found[2].numpy(), found[3].numpy().astype(np.int64) + row)
    return Neighbours(*forward, *backward)


def _starts(side: np.ndarray) -> range:
    return range(0, len(side), LIST_ROWS)


def _merge_part(
    best: tuple[np.ndarray, np.ndarray], start: int, scores: np.ndarray, rows: np.ndarray
) -> None:
    part = slice(start, start + len(scores))
    best[0][part], best[1][part] = merge_top_k(best[0][part], best[1][part], scores, rows)


@tf.function(autograph=False, reduce_retracing=True)
def _nearest_lists(rows: tf.Tensor, centroids: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    return tf.math.top_k(tf.matmul(rows, centroids, transpose_b=True), count).indices


@functools.cache
def _both_ways(
    dtype: tf.DType, few: tuple[bool, bool]
) -> tf.types.experimental.PolymorphicFunction:
    """Traced once, for all shapes.

    `few`: whether there are few targets, and few sources.
    """
    rows = tf.TensorSpec([None, None], dtype)

    @tf.function(autograph=False, input_signature=[rows, rows, tf.TensorSpec([], tf.int32)])
    def both_ways(sources: tf.Tensor, targets: tf.Tensor, k: tf.Tensor):
        """The best of a tile for its rows and for its columns: scores and places, k or all."""
        scores = tf.matmul(sources, targets, transpose_b=True)
        found = []
        for tile, has_few in zip((scores, tf.transpose(scores)), few):
            found += (top if has_few else top_by_blocks)(tile, tf.minimum(k, tf.shape(tile)[1]))
        return found

    return both_ways


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
