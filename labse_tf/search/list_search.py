"""Neighbours of both sides by inverted lists, on one machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from labse_tf.search.both_directions import check_both_sides
from labse_tf.search.inverted_lists import assign, group_by_list, search_list, train_centroids
from labse_tf.search.nearest import SLACK
from labse_tf.search.neighbours import NO_ROW, Neighbours, merge_top_k
from labse_tf.search.rescoring import rescore
from labse_tf.search.state import SearchState

_SAMPLE = 64  # rows a list to train the centroids on
_READ = 4096  # rows of the sample


@dataclasses.dataclass(frozen=True)
class Lists:
    """How many lists there are, and in how many a row is.

    Args:
        lists: 0 for the root of the number of rows of the smaller side.
        source_lists: of each source.
        target_lists: of each target.
        seed: of the centroids.
    """

    lists: int = 0
    source_lists: int = 8
    target_lists: int = 4
    seed: int = 0

    def count(self, sources: int, targets: int) -> int:
        """How many lists there are of so many rows."""
        return min(self.lists or round(min(sources, targets) ** 0.5), sources + targets)


@dataclasses.dataclass(frozen=True)
class Candidates:
    """Rows of both sides in lists: those of list i are `rows[starts[i] : starts[i + 1]]`.

    Args:
        sources: int64 [sources * source_lists] rows, and int64 [lists + 1] starts.
        targets: the same of the targets.
    """

    sources: tuple[np.ndarray, np.ndarray]
    targets: tuple[np.ndarray, np.ndarray]

    @property
    def products(self) -> int:
        """How many products there are in all lists."""
        return self.products_before(len(self.sources[1]) - 1)

    def products_before(self, lists: int) -> int:
        """How many products there are in the first lists."""
        sizes = (np.diff(starts)[:lists] for _, starts in (self.sources, self.targets))
        return int(np.dot(*sizes))


def make_lists(sources: np.ndarray, targets: np.ndarray, lists: Lists) -> Candidates:
    """Trains centroids on a sample of both sides, and assigns both to them.

    Args:
        sources: float32 or float16 [sources, dim], unit rows; a memory map is read in parts.
        targets: the same of the targets.
        lists: how many.
    """
    count = lists.count(len(sources), len(targets))
    rng = np.random.default_rng(lists.seed)
    sample = np.concatenate(
        [_sample(side, _SAMPLE * count // 2, rng) for side in (sources, targets)]
    )
    centroids = train_centroids(sample, min(count, len(sample)), lists.seed)
    return Candidates(
        *(
            group_by_list(assign(side, centroids, many), len(centroids))
            for side, many in ((sources, lists.source_lists), (targets, lists.target_lists))
        )
    )


def nearest_in_lists(
    sources: np.ndarray,
    targets: np.ndarray,
    k: int,
    lists: Lists,
    *,
    precision: str = "float32",
    progress: Callable[[int], object] = lambda count: None,
    begin: Callable[[Candidates], object] = lambda candidates: None,
    state: SearchState | None = None,
) -> Neighbours:
    """Most of the k nearest targets of each source, and sources of each target.

    They are ordered as those of `nearest`, by exact products; some nearer ones may be missing, and
    where lists are small, so may be some of the k: `NO_ROW`.

    Args:
        sources: float32 or float16 [sources, dim], unit rows; a memory map is read in parts.
        targets: float32 or float16 [targets, dim].
        k: neighbours of each row; all rows of the other side, if there are fewer.
        lists: how many, and the seed: the same gives the same.
        precision: of the first scoring; "bfloat16" misses hardly more, since more are kept.
        progress: called with the number of products computed since the call before.
        begin: called once the lists are made.
        state: of an interrupted search of the same rows with the same options, to go on from.

    Raises:
        ValueError: as `labse_tf.search.both_directions.nearest_both_ways`.
    """
    check_both_sides(sources, targets, k, precision)
    candidates = make_lists(sources, targets, lists)
    begin(candidates)
    kept = k + (SLACK if precision == "bfloat16" else k)
    best = [_Best(len(sources), kept, len(targets)), _Best(len(targets), kept, len(sources))]
    source_rows, source_starts = candidates.sources
    target_rows, target_starts = candidates.targets
    state, done = state or SearchState(), 0
    if begun := state.read():
        done = int(begun["lists"])
        for which, found in zip(("source", "target"), best):
            found.scores, found.rows = begun[f"{which}_scores"], begun[f"{which}_rows"]
        progress(candidates.products_before(done))
    for i in range(done, len(source_starts) - 1):
        rows = source_rows[source_starts[i] : source_starts[i + 1]]
        columns = target_rows[target_starts[i] : target_starts[i + 1]]
        if len(rows) and len(columns):
            own, other = np.take(sources, rows, axis=0), np.take(targets, columns, axis=0)
            found = search_list(own, other, kept, precision)
            best[0].add(rows, found.target_scores, found.targets, columns)
            best[1].add(columns, found.source_scores, found.sources, rows)
            progress(len(rows) * len(columns))
        state.write(
            lambda n=i + 1: {"lists": n, **best[0].state("source"), **best[1].state("target")}
        )
    return Neighbours(
        *rescore(sources, targets, best[0].rows, min(k, len(targets))),
        *rescore(targets, sources, best[1].rows, min(k, len(sources))),
    )


class _Best:
    """The best candidates of each row so far; int32 while that is enough."""

    def __init__(self, count: int, kept: int, others: int):
        dtype = np.int32 if others < 2**31 else np.int64
        self.scores = np.full([count, kept], -np.inf, np.float32)
        self.rows = np.full([count, kept], NO_ROW, dtype)

    def state(self, name: str) -> dict[str, np.ndarray]:
        return {f"{name}_scores": self.scores, f"{name}_rows": self.rows}

    def add(self, rows: np.ndarray, scores: np.ndarray, found: np.ndarray, names: np.ndarray):
        """Merges what a list's `rows` found: `found` are places in `names`."""
        found = np.where(found == NO_ROW, NO_ROW, names[found])
        merged = merge_top_k(self.scores[rows], self.rows[rows], scores, found)
        self.scores[rows], self.rows[rows] = merged


def _sample(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Some rows, drawn at random, in their order, float32."""
    drawn = np.sort(rng.choice(len(rows), min(count, len(rows)), replace=False))
    parts = [np.take(rows, drawn[i : i + _READ], axis=0) for i in range(0, len(drawn), _READ)]
    return np.concatenate(parts).astype(np.float32, copy=False)
