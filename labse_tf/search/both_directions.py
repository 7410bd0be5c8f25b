"""Exact nearest neighbours of both sides from one scoring of all with all.

As `labse_tf.search.nearest` in both directions, at half of the products. Of each tile, the best of
its rows (sources) are found as there. For its columns (targets) only the maxima of blocks of 16
sources are kept: the best blocks of each target, which hold its neighbours but for rounding, are
scored again in float32, and their best exactly. A target for which rounding could have hidden a
nearer source is searched again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from labse_tf.search.blocks import best_in_blocks
from labse_tf.search.nearest import SLACK, check_rows, search_again, whole_blocks
from labse_tf.search.neighbours import NO_ROW, Neighbours
from labse_tf.search.rescoring import rescore
from labse_tf.search.rounding import Rounding
from labse_tf.search.state import SearchState
from labse_tf.search.tiles import BLOCK, row_block_maxima, top, top_by_two_levels

# Of a tile; the first a multiple of BLOCK.
SOURCES, TARGETS = 512, 131_072
_TILES = 16  # whose maxima are sorted together


def nearest_both_ways(
    sources: np.ndarray,
    targets: np.ndarray,
    k: int,
    *,
    precision: str = "float32",
    targets_at_once: int = TARGETS,
    progress: Callable[[int], object] = lambda count: None,
    state: SearchState | None = None,
) -> Neighbours:
    """The k nearest targets of each source, and the k nearest sources of each target.

    Args:
        sources: float32 or float16 [sources, dim]; a memory map is read in parts.
        targets: float32 or float16 [targets, dim].
        k: neighbours of each row; all rows of the other side, if there are fewer.
        precision: of the first scoring, as in `nearest`; the result does not depend on it.
        targets_at_once: bounds the memory: each takes about 4 dim + 6,000 bytes.
        progress: called with the number of products computed since the call before.
        state: of an interrupted search of the same rows, to go on from.

    Returns:
        What `nearest` returns, in both directions.

    Raises:
        ValueError: as `nearest`; or a side has no rows.
    """
    check_both_sides(sources, targets, k, precision)
    forward = _Forward(min(k, len(targets)), len(sources), len(targets), precision)
    backward = _Backward(min(k, len(sources)), len(sources), len(targets), precision)
    state, done = state or SearchState(), 0
    if begun := state.read():
        done = int(begun["targets"])
        forward.resume(begun)
        backward.resume(begun)
        progress(len(sources) * done)
    for first in range(done, len(targets), targets_at_once):
        part = targets[first : first + targets_at_once]
        columns = forward.rounding.candidates(part)
        for start, tensor, by_blocks in _parts(columns, forward.kept):
            kept = tf.constant(min(forward.kept, tensor.shape[0]))
            tile = _tile(tensor.dtype, by_blocks)
            for row, some in _tiles(sources, backward.rounding):
                found, places, maxima = tile(some, tensor, kept)
                forward.add(row, found.numpy(), places.numpy() + (first + start))
                backward.add(row, maxima)
                progress(min(SOURCES, len(sources) - row) * tensor.shape[0])
            backward.finish(sources, targets, first + start, tensor.shape[0])
        done = first + len(part)
        state.write(lambda n=done: {"targets": n, **forward.state(), **backward.state()})
    return Neighbours(*forward.result(sources, targets), *backward.result())


def check_both_sides(sources: np.ndarray, targets: np.ndarray, k: int, precision: str) -> None:
    """Check the arguments of a search in both directions.

    Raises:
        ValueError: If the shapes or the precision are wrong, a side has no rows, or `k` is not
            positive.
    """
    check_rows(sources, targets, precision, ("sources", "targets"))
    if not len(sources) or not len(targets):
        raise ValueError("There are no rows on one side, so there are no pairs.")
    if k < 1:
        raise ValueError(f"`k` (={k}) must be at least 1.")


def _parts(columns: tf.Tensor, kept: int) -> Iterator[tuple[int, tf.Tensor, bool]]:
    """(start, targets, whether in whole blocks of blocks): those that are, and the rest."""
    split = whole_blocks(columns.shape[0], kept)
    if split:
        yield 0, columns[:split], True
    if split < columns.shape[0]:
        yield split, columns[split:], False


def _tiles(sources: np.ndarray, rounding: Rounding) -> Iterator[tuple[int, tf.Tensor]]:
    """Parts of the sources; the last one's last row is repeated to fill a block."""
    for start in range(0, len(sources), SOURCES):
        rows = rounding.candidates(sources[start : start + SOURCES])
        missing = -rows.shape[0] % BLOCK
        yield start, tf.concat([rows, tf.repeat(rows[-1:], missing, axis=0)], axis=0)


@functools.cache
def _tile(dtype: tf.DType, by_blocks: bool) -> tf.types.experimental.PolymorphicFunction:
    """Traced once, for all shapes."""
    rows = tf.TensorSpec([None, None], dtype)

    @tf.function(autograph=False, input_signature=[rows, rows, tf.TensorSpec([], tf.int32)])
    def tile(sources: tf.Tensor, targets: tf.Tensor, kept: tf.Tensor):
        """The best of each row, scores and columns; of each column the maxima of its blocks."""
        scores = tf.matmul(sources, targets, transpose_b=True)
        return *(top_by_two_levels if by_blocks else top)(scores, kept), row_block_maxima(scores)

    return tile


class _Forward:
    """The best targets of each source so far."""

    def __init__(self, k: int, sources: int, targets: int, precision: str):
        self.k, self.kept = k, min(k + SLACK, targets)
        self.rounding = Rounding(precision)
        self._scores = np.full([sources, self.kept], -np.inf, np.float32)
        self._rows = np.full([sources, self.kept], NO_ROW, np.int64)
        self._all = self.kept == targets

    def state(self) -> dict[str, np.ndarray]:
        norms = np.array(self.rounding.largest)
        return {"forward_scores": self._scores, "forward_rows": self._rows, "norms": norms}

    def resume(self, state: dict[str, np.ndarray]) -> None:
        self._scores, self._rows = state["forward_scores"], state["forward_rows"]
        self.rounding.largest = tuple(state["norms"].tolist())

    def add(self, start: int, scores: np.ndarray, rows: np.ndarray) -> None:
        part = slice(start, min(start + len(scores), len(self._scores)))
        count = part.stop - start
        scores = np.concatenate([self._scores[part], scores[:count]], axis=1)
        rows = np.concatenate([self._rows[part], rows[:count]], axis=1)
        # Not sorted: `rescore` does that.
        order = np.argpartition(-scores, self.kept - 1, axis=1)[:, : self.kept]
        self._scores[part] = np.take_along_axis(scores, order, axis=1)
        self._rows[part] = np.take_along_axis(rows, order, axis=1)

    def result(self, sources: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scores, rows = rescore(sources, targets, self._rows, self.k)
        if not self._all:  # no target that was dropped scores higher than the last one kept
            outside = self._scores.min(axis=1)
            bounds = self.rounding.upper_bounds(outside, sources)
            _search_unsure(sources, targets, scores, rows, bounds)
        return scores, rows


class _Backward:
    """The best blocks of sources of each target of a part, and then its best sources."""

    def __init__(self, k: int, sources: int, targets: int, precision: str):
        self.k = k
        self.rounding = Rounding(precision)
        blocks = -(-sources // BLOCK)
        self._kept, self._all = min(k + SLACK, sources), blocks <= k + SLACK
        self._blocks = min(k + SLACK, blocks)
        self._scores = np.empty([targets, k], np.float32)
        self._rows = np.empty([targets, k], np.int64)
        self._begin()

    def state(self) -> dict[str, np.ndarray]:
        return {"backward_scores": self._scores, "backward_rows": self._rows}

    def resume(self, state: dict[str, np.ndarray]) -> None:
        self._scores, self._rows = state["backward_scores"], state["backward_rows"]

    def _begin(self) -> None:
        self._maxima: list[tf.Tensor] = []  # [blocks, targets], of tiles after the last sorted
        self._sorted = 0  # blocks
        self._best: tuple[tf.Tensor, tf.Tensor] | None = None  # [targets, blocks kept]

    def add(self, start: int, maxima: tf.Tensor) -> None:
        self._maxima.append(maxima)
        if len(self._maxima) == _TILES:
            self._sort()

    def _sort(self) -> None:
        maxima = tf.concat(self._maxima, axis=0)
        scores, blocks = _best_blocks(maxima, tf.constant(self._blocks), tf.constant(self._sorted))
        if self._best is not None:
            scores, blocks = _best_of_two(*self._best, scores, blocks, tf.constant(self._blocks))
        self._best = scores, blocks
        self._sorted += maxima.shape[0]
        self._maxima = []

    def finish(self, sources: np.ndarray, targets: np.ndarray, start: int, count: int) -> None:
        """Ends a part of the targets, for which all sources were added."""
        if self._maxima:
            self._sort()
        maxima, blocks = (x.numpy() for x in self._best)
        self._begin()
        part = slice(start, start + count)
        own = targets[part]
        some = best_in_blocks(own, sources, blocks, self._kept)
        scores, rows = rescore(own, sources, some, self.k)
        if not self._all:
            bounds = self.rounding.upper_bounds(maxima.min(axis=1), own)
            _search_unsure(own, sources, scores, rows, bounds)
        self._scores[part], self._rows[part] = scores, rows

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        return self._scores, self._rows


@tf.function(autograph=False, reduce_retracing=True)
def _best_blocks(maxima: tf.Tensor, kept: tf.Tensor, first: tf.Tensor):
    """The best blocks of each column, [blocks, columns] -> float32 and int32 [columns, kept]."""
    scores, blocks = top(tf.transpose(maxima), tf.minimum(kept, tf.shape(maxima)[0]))
    return scores, blocks + first


@tf.function(autograph=False, reduce_retracing=True)
def _best_of_two(scores, blocks, more_scores, more_blocks, kept):
    scores = tf.concat([scores, more_scores], axis=1)
    scores, places = tf.math.top_k(scores, tf.minimum(kept, tf.shape(scores)[1]))
    return scores, tf.gather(tf.concat([blocks, more_blocks], axis=1), places, batch_dims=1)


def _search_unsure(
    queries: np.ndarray,
    candidates: np.ndarray,
    scores: np.ndarray,
    rows: np.ndarray,
    bounds: np.ndarray,
) -> None:
    """Searches again, in place, for the queries whose last neighbour is not above the bound."""
    unsure = np.flatnonzero(~(scores[:, -1] > bounds))
    if len(unsure):
        scores[unsure], rows[unsure] = search_again(queries[unsure], candidates, scores.shape[1])
