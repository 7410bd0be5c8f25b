"""Candidates of a strategy, and which of them stay: thresholds, filters, duplicates."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from labse_tf.data.duplicates import duplicate_hashes, duplicate_keys, group_duplicates
from labse_tf.mining.options import MiningOptions
from labse_tf.mining.rows import Rows
from labse_tf.mining.sides import Side
from labse_tf.preparation.filters import of_ratio
from labse_tf.search.margins import align_neighbours, candidate_scores, neighbour_means
from labse_tf.search.neighbours import NO_ROW, Neighbours

_READ = 8192  # pairs whose text is read at a time


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Pairs by falling score; of equal scores by source, then by target.

    Args:
        rows: int64 [pairs, 2], rows of sources and of targets.
        scores: float32 [pairs].
    """

    rows: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def where(self, kept: np.ndarray) -> Pairs:
        """Those of a mask or of places."""
        return Pairs(self.rows[kept], self.scores[kept])


def candidates(neighbours: Neighbours, options: MiningOptions) -> Pairs:
    """The pairs of the strategy that `options` name, with their margins."""
    if options.alternatives:
        rows, scores = _alternatives(neighbours, options)
    else:
        rows, scores = align_neighbours(neighbours, options.margin).pairs(options.strategy)
    # Of a row for which inverted lists found no neighbour there is no pair.
    found = scores > -np.inf
    rows, scores = rows[found], scores[found]
    order = np.lexsort((rows[:, 1], rows[:, 0], -scores))
    return Pairs(rows[order], scores[order])


def _alternatives(neighbours: Neighbours, options: MiningOptions) -> tuple[np.ndarray, np.ndarray]:
    """All neighbours as pairs; of `mutual` those that are in both directions, of `max` all."""
    scores = candidate_scores(neighbours, neighbour_means(neighbours), options.margin)
    forward = _flat(neighbours.targets, scores[0])
    backward = _flat(neighbours.sources, scores[1])
    backward = backward[0][:, ::-1], backward[1]
    if options.strategy in ("forward", "backward"):
        return forward if options.strategy == "forward" else backward
    rows = np.concatenate([forward[0], backward[0]])
    scores = np.concatenate([forward[1], backward[1]])
    # A pair that is in both directions has the same margin in both.
    _, first, counts = np.unique(rows, axis=0, return_index=True, return_counts=True)
    kept = first[counts == 2] if options.strategy == "mutual" else first
    return rows[kept], scores[kept]


def _flat(rows: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    own = np.repeat(np.arange(len(rows)), rows.shape[1])
    found = rows.ravel() != NO_ROW
    return np.stack([own, rows.ravel()], axis=1)[found], scores.ravel()[found]


def kept_pairs(
    pairs: Pairs, source: Side, target: Side, options: MiningOptions
) -> tuple[Pairs, dict[str, int]]:
    """The pairs that stay, and how many others were dropped, by what dropped them."""
    dropped = {}

    def drop(reason: str, kept: np.ndarray) -> None:
        nonlocal pairs
        dropped[reason] = int(len(pairs) - np.count_nonzero(kept))
        pairs = pairs.where(kept)

    if options.min_score > -math.inf:
        drop("score below", pairs.scores >= options.min_score)
    if options.max_score < math.inf:
        drop("score above", pairs.scores <= options.max_score)
    if options.max_ratio or options.drop_copies:
        for reason, kept in _by_text(pairs, source, target, options):
            drop(reason, kept)
    if options.deduplicate_pairs or options.deduplicate_targets:
        of_side = [
            _groups_of(side, rows, options) for side, rows in zip((source, target), pairs.rows.T)
        ]
        if options.deduplicate_pairs:
            both = np.stack(of_side, axis=1).astype(np.uint64)
            kept = _firsts(group_duplicates(both)[1], len(pairs))
            drop("pair again", kept)
            of_side = [of[kept] for of in of_side]
        if options.deduplicate_targets:
            drop("target again", _firsts(np.unique(of_side[1], return_index=True)[1], len(pairs)))
    if options.keep_best != 1:
        best = options.keep_best
        count = math.ceil(best * len(pairs)) if best < 1 else int(best)
        drop("not of the best", np.arange(len(pairs)) < count)
    return pairs, dropped


def texts_of(pairs: Pairs, source: Side, target: Side) -> Iterator[list[tuple[str, str]]]:
    """The sentences of pairs in their order, in blocks."""
    for start in range(0, len(pairs), _READ):
        rows = pairs.rows[start : start + _READ]
        yield list(zip(source.read(rows[:, 0])[1], target.read(rows[:, 1])[1]))


def cosines_of(pairs: Pairs, sources: Rows, targets: Rows) -> np.ndarray:
    """Cosines of pairs, float32 [pairs]."""
    result = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), _READ):
        rows = pairs.rows[start : start + _READ]
        x, y = (
            np.take(side, of, axis=0).astype(np.float32, copy=False)
            for side, of in zip((sources, targets), rows.T)
        )
        result[start : start + _READ] = np.einsum("ij,ij->i", x, y)
    return result


def _by_text(
    pairs: Pairs, source: Side, target: Side, options: MiningOptions
) -> Iterator[tuple[str, np.ndarray]]:
    """(reason, bool [pairs that the reasons before left])."""
    ratio, copies = [np.zeros(0, bool)], [np.zeros(0, bool)]
    in_ratio = of_ratio(options.max_ratio or math.inf, options.ratio_smoothing)
    for block in texts_of(pairs, source, target):
        if options.max_ratio:
            ratio.append(in_ratio(block))
        if options.drop_copies:
            sides = (duplicate_keys([pair[side] for pair in block], "loose") for side in (0, 1))
            copies.append(np.array([x != y for x, y in zip(*sides)], bool))
    kept = np.ones(len(pairs), bool)
    for reason, parts in (("length ratio", ratio), ("copies", copies)):
        if len(parts) > 1:
            passed = np.concatenate(parts)
            yield reason, passed[kept]
            kept &= passed


def _groups_of(side: Side, rows: np.ndarray, options: MiningOptions) -> np.ndarray:
    """Numbers that are equal where sentences are: rows are, if they were deduplicated before."""
    if options.deduplicate != "none":
        return rows
    distinct, places = np.unique(rows, return_inverse=True)
    hashes = [np.zeros([0, 2], np.uint64)]
    for start in range(0, len(distinct), _READ):
        hashes.append(duplicate_hashes(side.read(distinct[start : start + _READ])[1]))
    return group_duplicates(np.concatenate(hashes))[0][places.ravel()]


def _firsts(places: np.ndarray, count: int) -> np.ndarray:
    mask = np.zeros(count, bool)
    mask[places] = True
    return mask
