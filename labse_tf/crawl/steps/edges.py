"""Edges: neighbours as (row, row of the other side, score); the best of each row are kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from labse_tf.search.neighbours import NO_ROW, none_yet

EDGE = np.dtype([("owner", "<i8"), ("other", "<i8"), ("score", "<f4")])


@dataclasses.dataclass(frozen=True)
class Edges:
    """Neighbours of rows.

    Args:
        owners: int64 [edges], rows whose neighbours these are, numbered over all shards.
        others: int64 [edges], rows of the other side.
        scores: float32 [edges].
    """

    owners: np.ndarray
    others: np.ndarray
    scores: np.ndarray

    @classmethod
    def of_neighbours(
        cls, owners: np.ndarray, others: np.ndarray, places: np.ndarray, scores: np.ndarray
    ) -> Edges:
        """Of places int64 [owners, k] in `others`, `NO_ROW` for none, and their scores."""
        there = places != NO_ROW
        rows = np.broadcast_to(owners[:, None], places.shape)
        return cls(rows[there], others[places[there]], scores[there])

    @classmethod
    def joined(cls, parts: Sequence[Edges]) -> Edges:
        """All edges of some, or of none."""
        names = ("owners", "others", "scores")
        columns = ([getattr(part, name) for part in parts] for name in names)
        dtypes = (np.int64, np.int64, np.float32)
        return cls(*(np.concatenate([np.empty(0, d), *c]) for c, d in zip(columns, dtypes)))

    @classmethod
    def from_array(cls, array: np.ndarray) -> Edges:
        """Of an `EDGE` array."""
        return cls(array["owner"], array["other"], array["score"])

    def to_array(self) -> np.ndarray:
        """`EDGE` [edges]."""
        array = np.empty(len(self.owners), EDGE)
        array["owner"], array["other"], array["score"] = self.owners, self.others, self.scores
        return array


def best_edges(edges: Edges, keep: int) -> Edges:
    """The best of each owner, each pair once, by owner, falling score, then other.

    The result does not depend on the order of the edges; of equal pairs the higher score counts.
    """
    if not len(edges.owners):
        return edges
    pairs = _packed(edges.owners, edges.others)
    order = np.argsort(pairs)
    begins = np.flatnonzero(_begins(pairs[order]))
    scores = np.maximum.reduceat(edges.scores[order], begins) + np.float32(0)  # -0 is 0
    owners, others = edges.owners[order[begins]], edges.others[order[begins]]
    order = _stable_order(_packed(owners, _falling(scores)))
    begins = np.flatnonzero(_begins(owners[order]))
    counts = np.diff(np.append(begins, len(order)))
    order = order[np.arange(len(order)) - np.repeat(begins, counts) < keep]
    return Edges(owners[order], others[order], scores[order])


def _packed(major: np.ndarray, minor: np.ndarray) -> np.ndarray:
    """uint64 numbers in the order of (major, minor), which NumPy sorts faster than pairs.

    Args:
        major, minor: integers. Where their ranges do not fit into 64 bits together, their ranks
            among all are taken.
    """
    columns = []
    for values in (major, minor):
        lowest = values.min()
        columns.append(((values - lowest).astype(np.uint64), int(values.max() - lowest)))
    (high, high_range), (low, low_range) = columns
    if high_range.bit_length() + low_range.bit_length() > 64:
        high, low = (np.unique(x, return_inverse=True)[1].astype(np.uint64) for x in (high, low))
        low_range = int(low.max())
    return (high << np.uint64(low_range.bit_length())) | low


def _falling(scores: np.ndarray) -> np.ndarray:
    """Of float32 numbers uint32 ones in the opposite order."""
    bits = scores.view(np.uint32)
    return np.where(bits >> 31, bits, ~bits & np.uint32(0x7FFFFFFF))


def _stable_order(keys: np.ndarray) -> np.ndarray:
    """A stable argsort: one that is not, and then the equal keys alone."""
    order = np.argsort(keys)
    differs = _begins(keys[order])
    tied = np.flatnonzero(~differs | ~np.append(differs[1:], True))
    equal = order[tied]
    order[tied] = equal[np.lexsort((equal, keys[equal]))]
    return order


def owners_by_shard(owners: np.ndarray, shard_rows: int) -> np.ndarray:
    """Where the edges of each shard begin: int64 [shards there, 2], (shard, first edge).

    Args:
        owners: int64 [edges], ascending.
        shard_rows: rows of a shard.
    """
    shards = owners // shard_rows
    begins = np.flatnonzero(_begins(shards))
    return np.stack([shards[begins], begins], axis=1).astype(np.int64)


def of_shard(edges: np.ndarray, begins: np.ndarray, shard: int) -> np.ndarray:
    """The edges of one shard, of an `EDGE` array by owner and its `owners_by_shard`."""
    place = int(np.searchsorted(begins[:, 0], shard))
    if place == len(begins) or begins[place, 0] != shard:
        return edges[:0]
    end = begins[place + 1, 1] if place + 1 < len(begins) else len(edges)
    return edges[begins[place, 1] : end]


def as_matrix(edges: Edges, first: int, rows: int, keep: int) -> np.ndarray:
    """The others of each row, int64 [rows, keep], best first; `NO_ROW` where there are fewer.

    Args:
        edges: of `best_edges`, with the same `keep`.
        first: number of the first row.
        rows: how many.
    """
    _, others = none_yet(rows, keep)
    begins = np.flatnonzero(_begins(edges.owners))
    counts = np.diff(np.append(begins, len(edges.owners)))
    places = np.arange(len(edges.owners)) - np.repeat(begins, counts)
    others[edges.owners - first, places] = edges.others
    return others


def _begins(values: np.ndarray) -> np.ndarray:
    """Whether a value differs from the one before it."""
    return np.concatenate([[True], values[1:] != values[:-1]])[: len(values)]
