"""Probable translations: pairs of nearest sentences by cosine or by margin.

The margin of a pair relates its cosine to those of both sentences with their nearest neighbours
(Artetxe and Schwenk, arXiv 1811.01136), which corrects for sentences that are near to everything.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from labse_tf.search.both_directions import nearest_both_ways
from labse_tf.search.choices import DIRECTIONS, MARGINS, NEIGHBOURS
from labse_tf.search.neighbours import NO_ROW, Neighbours, row_blocks


@dataclasses.dataclass(frozen=True)
class Alignment:
    """The best target of each source, and the best source of each target.

    Args:
        targets: int64 [sources], rows of targets.
        target_scores: float32 [sources].
        sources: int64 [targets], rows of sources.
        source_scores: float32 [targets].
    """

    targets: np.ndarray
    target_scores: np.ndarray
    sources: np.ndarray
    source_scores: np.ndarray

    def pairs(self, direction: str) -> tuple[np.ndarray, np.ndarray]:
        """Pairs int64 [pairs, 2] of source and target rows, and their scores float32 [pairs].

        Args:
            direction: "forward" for each source and its best target, "backward" for each target
                and its best source, "mutual" for the pairs that are in both; or "max" for LASER's
                default: of both, by falling score, each pair whose source and target are not in a
                pair before it.

        Raises:
            ValueError: `direction` is unknown.
        """
        if direction not in DIRECTIONS:
            raise ValueError(f"`direction` (={direction!r}) must be one of {DIRECTIONS}.")
        if direction == "backward":
            return (
                np.stack([self.sources, np.arange(len(self.sources))], axis=1),
                self.source_scores,
            )
        if direction == "max":
            return self._one_to_one()
        rows = np.arange(len(self.targets))
        if direction == "mutual":
            rows = rows[self.sources[self.targets] == rows]
        return np.stack([rows, self.targets[rows]], axis=1), self.target_scores[rows]

    def _one_to_one(self) -> tuple[np.ndarray, np.ndarray]:
        """As `retrieval == "max"` of LASER's source/mine_bitexts.py."""
        forward, backward = self.pairs("forward"), self.pairs("backward")
        pairs, scores = (np.concatenate(parts) for parts in zip(forward, backward))
        taken = bytearray(len(self.targets)), bytearray(len(self.sources))
        kept = []
        order = np.argsort(-scores, kind="stable")
        for row, (source, target) in zip(order.tolist(), pairs[order].tolist()):
            if not taken[0][source] and not taken[1][target]:
                taken[0][source] = taken[1][target] = 1
                kept.append(row)
        return pairs[kept], scores[kept]


def align(
    sources: np.ndarray,
    targets: np.ndarray,
    *,
    margin: str = "ratio",
    k: int = NEIGHBOURS,
    precision: str = "float32",
) -> Alignment:
    """Finds the best partner of each row on the other side.

    Args:
        sources: float32 or float16 [sources, dim], unit rows.
        targets: float32 or float16 [targets, dim], unit rows.
        margin: "absolute", the cosine; "ratio", the cosine divided by the mean of the two rows'
            mean cosines with their k nearest on the other side; or "distance", their difference.
            A row's partner is one of its k nearest, as in LASER.
        k: neighbours of each row; all rows, if there are fewer.
        precision: as in `labse_tf.search.nearest.nearest`; the result does not depend on it.

    Raises:
        ValueError: a side has no rows, `margin` is unknown, `k` is below 1, or as `nearest`.
    """
    if margin not in MARGINS:
        raise ValueError(f"`margin` (={margin!r}) must be one of {MARGINS}.")
    count = 1 if margin == "absolute" and k >= 1 else k
    return align_neighbours(nearest_both_ways(sources, targets, count, precision=precision), margin)


def align_neighbours(neighbours: Neighbours, margin: str = "ratio") -> Alignment:
    """As `align`, of neighbours that were found, by whatever search."""
    means = neighbour_means(neighbours)
    forward, backward = candidate_scores(neighbours, means, margin)
    return Alignment(*_best(forward, neighbours.targets), *_best(backward, neighbours.sources))


def neighbour_means(neighbours: Neighbours) -> tuple[np.ndarray, np.ndarray]:
    """Mean cosines with the nearest on the other side: float32 [sources], float32 [targets].

    Of a row for which fewer were found, the mean of those; 0 where none was.
    """
    return tuple(_means(s) for s in (neighbours.target_scores, neighbours.source_scores))


def candidate_scores(
    neighbours: Neighbours, means: tuple[np.ndarray, np.ndarray], margin: str
) -> tuple[np.ndarray, np.ndarray]:
    """The margins of all neighbours: float32 [sources, k] and [targets, k]; -inf for none."""
    result = []
    for cosines, rows, own, other in (
        (neighbours.target_scores, neighbours.targets, *means),
        (neighbours.source_scores, neighbours.sources, *means[::-1]),
    ):
        scores = np.empty(rows.shape, np.float32)
        for part in row_blocks(*rows.shape):
            found = rows[part] != NO_ROW
            others = other[np.where(found, rows[part], 0)]
            margins = margin_scores(cosines[part], own[part, None], others, margin)
            scores[part] = np.where(found, margins, np.float32(-np.inf))
        result.append(scores)
    return tuple(result)


def margin_scores(
    cosines: np.ndarray, means: np.ndarray, other_means: np.ndarray, margin: str
) -> np.ndarray:
    """Margins of cosines, given both rows' mean cosines with their nearest; see `align`."""
    if margin == "absolute":
        return cosines
    around = (means + other_means) / 2
    return cosines / around if margin == "ratio" else cosines - around


def _means(scores: np.ndarray) -> np.ndarray:
    found = scores > -np.inf
    if found.all():
        return scores.mean(axis=1)
    return np.where(found, scores, 0).sum(axis=1) / np.maximum(found.sum(axis=1), 1).astype("f4")


def _best(scores: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    best = scores.argmax(axis=1)[:, None]
    return (
        np.take_along_axis(rows, best, axis=1)[:, 0],
        np.take_along_axis(scores, best, axis=1)[:, 0],
    )
