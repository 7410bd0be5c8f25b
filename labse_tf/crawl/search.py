"""search: the rows of lists compared; their candidates merged, and scored from what is kept."""

from __future__ import annotations

import dataclasses
import os

import numpy as np

from labse_tf.crawl.extraction import SIDES
from labse_tf.crawl.run import Run
from labse_tf.crawl.sharded import ShardedRows, map_rows
from labse_tf.crawl.steps.edges import Edges, as_matrix, best_edges, of_shard, owners_by_shard
from labse_tf.crawl.steps.eight_bits import as_floats
from labse_tf.crawl.steps.lists import ListedRows, plan_groups, search_group
from labse_tf.crawl.steps.matching import mean_scores, neighbours_dtype
from labse_tf.crawl.tasks import Made, Task, files_key, key_of
from labse_tf.files.atomic import atomic_file
from labse_tf.search.neighbours import NO_ROW, none_yet
from labse_tf.search.rescoring import rescore

_QUERIES = 4096  # whose candidates are read at a time


def search(run: Run) -> None:
    """Writes search/SIDE-00000.npy, the k nearest of each sentence, and their means.

    Raises:
        ValueError: a side has fewer than k sentences.
    """
    check_k(run)
    extracted, embedded, indexed = (run.needs(stage) for stage in ("extract", "embed", "index"))
    options = run.options
    manifest = run.begin("search")
    shard_rows = extracted.facts["shard_rows"]
    shards = {side: extracted.facts[side]["shards"] for side in SIDES}
    sizes = [map_rows(run.path(f"index/{side}-sizes.npy")) for side in SIDES]
    groups = plan_groups(*sizes, options.group_rows)
    common = {"shards": shards, "shard_rows": shard_rows, "keep": options.rerank}
    common["precision"] = options.search_precision
    key = key_of(*(indexed.digest(f"{side}s") for side in SIDES))
    found = run.phase(
        manifest,
        "lists",
        [
            Task(
                f"search/lists/{number:05d}",
                search_lists,
                {"group": dataclasses.asdict(group), **common},
                key,
            )
            for number, group in enumerate(groups)
        ],
    )
    key = key_of(files_key(found), *(embedded.digest(f"{side}s") for side in SIDES))
    for side, other in (SIDES, SIDES[::-1]):
        tasks = [
            Task(
                f"search/{side}-{shard:05d}",
                merge_shard,
                {
                    "side": side,
                    "other": other,
                    "shard": shard,
                    "shard_rows": shard_rows,
                    "found": len(groups),
                    "rerank": options.rerank,
                    "k": options.k,
                },
                key,
            )
            for shard in range(shards[side])
        ]
        run.phase(manifest, f"{side}s", tasks)
    comparisons = sum(record.counts["comparisons"] for record in found)
    total = extracted.facts["source"]["sentences"] * extracted.facts["target"]["sentences"]
    facts = {"comparisons": comparisons, "of_all": comparisons / total}
    run.finish(manifest, facts)


def check_k(run: Run) -> None:
    """Raises ValueError if a side has fewer than k sentences."""
    for side in SIDES:
        count = run.needs("extract").facts[side]["sentences"]
        if count < run.options.k:
            raise ValueError(
                f"`k` (={run.options.k}) is above the {count:,} {side} sentences: give a smaller "
                "--k."
            )


def search_lists(folder: str, name: str, *, group, shards, shard_rows, keep, precision) -> Made:
    """A group of lists -> NAME.SIDE.npy, `EDGE` by owner, and NAME.SIDE.begins.npy."""
    sides = [
        _listed(folder, side, shards[side], shard_rows, group, *group[f"{side}_part"])
        for side in SIDES
    ]
    counts = [np.unique(side.lists, return_counts=True) for side in sides]
    _, own, others = np.intersect1d(counts[0][0], counts[1][0], return_indices=True)
    comparisons = int((counts[0][1][own] * counts[1][1][others]).sum())
    files = []
    for side, edges in zip(SIDES, search_group(*sides, keep, precision)):
        for end, array in (
            (".npy", edges.to_array()),
            (".begins.npy", owners_by_shard(edges.owners, shard_rows)),
        ):
            files.append(f"{name}.{side}{end}")
            with atomic_file(os.path.join(folder, files[-1]), "wb") as file:
                np.save(file, array)
    return Made(tuple(files), {"comparisons": comparisons})


def _listed(
    folder: str, side: str, shards: int, shard_rows: int, group, part: int, parts: int
) -> ListedRows:
    """The rows of a group's lists, of all shards of a side; or a part of them, of one list."""
    lists = slice(group["first"], group["last"] + 1)
    paths = [os.path.join(folder, f"index/{side}-{shard:05d}") for shard in range(shards)]
    starts = [np.array(map_rows(f"{path}.starts.npy")[lists]) for path in paths]
    total, before, found = sum(int(s[-1] - s[0]) for s in starts), 0, []
    begin, end = (total * i // parts for i in (part, part + 1))
    for shard, (path, bounds) in enumerate(zip(paths, starts)):
        size = int(bounds[-1] - bounds[0])
        own = slice(*(min(max(i - before, 0), size) for i in (begin, end)))
        numbers = np.repeat(
            np.arange(group["first"], group["last"], dtype=np.int32), np.diff(bounds)
        )
        rows = np.array(map_rows(f"{path}.npy")[bounds[0] : bounds[-1]][own])
        found.append(
            ListedRows(rows["row"].astype(np.int64) + shard * shard_rows, numbers[own], rows)
        )
        before += size
    return ListedRows.joined(found)


def merge_shard(
    folder: str, name: str, *, side, other, shard, shard_rows, found, rerank, k
) -> Made:
    """The candidates of a shard's rows -> NAME.npy, `neighbours_dtype`, and NAME.means.npy."""
    parts = []
    for number in range(found):
        path = os.path.join(folder, f"search/lists/{number:05d}.{side}")
        edges = of_shard(map_rows(f"{path}.npy"), map_rows(f"{path}.begins.npy"), shard)
        parts.append(Edges.from_array(np.array(edges)))
    edges = best_edges(Edges.joined(parts), rerank)
    own = map_rows(os.path.join(folder, f"embed/{side}-{shard:05d}.npy"))
    candidates = as_matrix(edges, shard * shard_rows, len(own), rerank)
    others = ShardedRows(folder, f"embed/{other}-{{shard:05d}}.npy", shard_rows)
    scores, rows = none_yet(len(own), k)
    for start in range(0, len(own), _QUERIES):
        part = slice(start, start + _QUERIES)
        numbers, places = np.unique(candidates[part], return_inverse=True)
        places = places.reshape(candidates[part].shape)
        none = int(len(numbers) > 0 and numbers[0] == NO_ROW)  # it comes first
        if len(numbers) > none:
            numbers = numbers[none:]
            near = as_floats(others.take(numbers))
            scores[part], best = rescore(as_floats(own[part]), near, places - none, k)
            rows[part] = np.where(best == NO_ROW, NO_ROW, numbers[best])
    neighbours = np.empty(len(own), neighbours_dtype(k))
    neighbours["score"], neighbours["row"] = scores, rows
    for end, array in ((".npy", neighbours), (".means.npy", mean_scores(scores))):
        with atomic_file(os.path.join(folder, f"{name}{end}"), "wb") as file:
            np.save(file, array)
    return Made((f"{name}.npy", f"{name}.means.npy"))
