"""Inverted lists over shards: how many, which rows are in which, which are searched together."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from labse_tf.crawl.steps.edges import Edges, best_edges
from labse_tf.crawl.steps.eight_bits import from_eight_bits, row_dtype, to_eight_bits
from labse_tf.search.inverted_lists import assign, group_by_list, search_list, train_centroids
from labse_tf.search.neighbours import NO_ROW, merge_top_k, none_yet

# Fewer sentences than this, on both sides together, are compared all with all.
_ALL_WITH_ALL = 20_000
# More lists than this are found by way of cells of lists.
_ONE_LEVEL = 4096
_CELLS_OF_A_ROW = 16


def lists_for(sentences: int) -> int:
    """How many lists: a power of 2 near twice the root of the sentences of both sides.

    Comparisons with centroids (sentences * lists) and within lists (sentences² / lists) then grow
    alike, with the sentences' 1.5th power.
    """
    if sentences < _ALL_WITH_ALL:
        return 1
    return 2 ** round(math.log2(2 * math.sqrt(sentences)))


@dataclasses.dataclass(frozen=True)
class Cells:
    """Centroids, and cells of them if they are many.

    Args:
        centroids: float32 [lists, dim].
        cells: float32 [cells, dim], or None where each row is compared with all centroids.
    """

    centroids: np.ndarray
    cells: np.ndarray | None = None

    @classmethod
    def train(cls, sample: np.ndarray, lists: int, seed: int) -> Cells:
        """Centroids of a sample [rows, dim], `lists` at most, and cells where they are needed."""
        centroids = train_centroids(sample, min(lists, len(sample)), seed)
        if len(centroids) <= _ONE_LEVEL:
            return cls(centroids)
        return cls(centroids, train_centroids(centroids, math.isqrt(len(centroids)), seed))

    def assign(self, rows: np.ndarray, count: int) -> np.ndarray:
        """The `count` nearest lists of each row, nearest first: int32 [rows, min(count, lists)].

        With cells, those of the lists whose cells are the row's 16 nearest.
        """
        count = min(count, len(self.centroids))
        if self.cells is None:
            return assign(rows, self.centroids, count)
        cells = len(self.cells)
        members, of_cell = group_by_list(assign(self.centroids, self.cells, 1), cells)
        near = assign(rows, self.cells, _CELLS_OF_A_ROW)
        visitors, of_visited = group_by_list(near, cells)
        scores, lists = none_yet(len(rows), count)
        for cell in range(cells):
            own = members[of_cell[cell] : of_cell[cell + 1]]
            here = visitors[of_visited[cell] : of_visited[cell + 1]]
            if not len(own) or not len(here):
                continue
            found = rows[here].astype(np.float32) @ self.centroids[own].T
            scores[here], lists[here] = merge_top_k(
                scores[here], lists[here], found, np.broadcast_to(own, found.shape)
            )
        if (lists == NO_ROW).any():  # its cells have fewer lists than `count`
            few = np.flatnonzero((lists == NO_ROW).any(axis=1))
            lists[few] = assign(rows[few], self.centroids, count)
        return lists.astype(np.int32)


def listed_dtype(dim: int) -> np.dtype:
    """Of a row in a list: its number in its shard, and `row_dtype`."""
    return np.dtype([("row", "<u4"), *row_dtype(dim).descr])


def by_list(rows: np.ndarray, assigned: np.ndarray, lists: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of a shard as they stand in lists, list by list.

    Args:
        rows: float32 or float16 [rows, dim].
        assigned: int32 [rows, count].
        lists: how many there are.

    Returns:
        `listed_dtype` [rows * count], and starts int64 [lists + 1]: list i is from starts[i] to
        starts[i + 1].
    """
    order, starts = group_by_list(assigned, lists)
    eight = to_eight_bits(rows)[order]
    listed = np.empty(len(order), listed_dtype(rows.shape[1]))
    listed["row"] = order
    for name in eight.dtype.names:
        listed[name] = eight[name]
    return listed, starts.astype(np.int64)


@dataclasses.dataclass(frozen=True)
class Group:
    """What is searched in one task.

    Args:
        first, last: lists, the last one not included.
        source_part, target_part: (number, parts) of a list that is too large for one task: the
            rows of either side are cut into parts, and each part meets each.
    """

    first: int
    last: int
    source_part: tuple[int, int] = (0, 1)
    target_part: tuple[int, int] = (0, 1)


def plan_groups(sources: np.ndarray, targets: np.ndarray, most: int) -> list[Group]:
    """Which lists are searched together.

    Args:
        sources, targets: int64 [lists], how many rows a list has of either side.
        most: rows of a group, both sides together; a larger list is cut.
    """
    groups, first, rows = [], 0, 0
    for number, (own, others) in enumerate(zip(sources.tolist(), targets.tolist())):
        size = own + others
        if rows and rows + size > most:
            groups.append(Group(first, number))
            first, rows = number, 0
        if size > most:
            parts = [max(1, math.ceil(side / max(1, most // 2))) for side in (own, others)]
            groups += [
                Group(number, number + 1, (i, parts[0]), (j, parts[1]))
                for i in range(parts[0])
                for j in range(parts[1])
            ]
            first = number + 1
        else:
            rows += size
    if rows:
        groups.append(Group(first, len(sources)))
    return groups


@dataclasses.dataclass(frozen=True)
class ListedRows:
    """Rows of one side in some lists.

    Args:
        numbers: int64 [rows], over all shards.
        lists: int32 [rows].
        rows: `row_dtype` or `listed_dtype` [rows].
    """

    numbers: np.ndarray
    lists: np.ndarray
    rows: np.ndarray

    @classmethod
    def joined(cls, parts: list[ListedRows]) -> ListedRows:
        """Rows of several shards, by list."""
        lists = np.concatenate([part.lists for part in parts])
        order = np.argsort(lists, kind="stable")
        return cls(
            np.concatenate([part.numbers for part in parts])[order],
            lists[order],
            np.concatenate([part.rows for part in parts])[order],
        )


def search_group(
    sources: ListedRows, targets: ListedRows, keep: int, precision: str
) -> tuple[Edges, Edges]:
    """The nearest on the other side that stand in a list with a row: of sources, and of targets.

    Args:
        sources, targets: by list.
        keep: neighbours of a row.
        precision: of the scores, see `search_list`.
    """
    found: tuple[list[Edges], list[Edges]] = ([], [])
    for number in np.intersect1d(sources.lists, targets.lists):
        own, others = (
            slice(*np.searchsorted(side.lists, [number, number + 1])) for side in (sources, targets)
        )
        near = search_list(
            from_eight_bits(sources.rows[own]),
            from_eight_bits(targets.rows[others]),
            keep,
            precision,
        )
        rows = sources.numbers[own], targets.numbers[others]
        found[0].append(Edges.of_neighbours(*rows, near.targets, near.target_scores))
        found[1].append(Edges.of_neighbours(*rows[::-1], near.sources, near.source_scores))
    return tuple(best_edges(Edges.joined(side), keep) for side in found)
