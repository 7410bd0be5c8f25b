"""index: centroids of inverted lists, and the rows of each shard list by list, in 8 bits."""

from __future__ import annotations

import dataclasses
import os

import numpy as np

from labse_tf.crawl.extraction import SIDES
from labse_tf.crawl.run import Run
from labse_tf.crawl.sharded import ShardedRows, map_rows
from labse_tf.crawl.steps.eight_bits import as_floats
from labse_tf.crawl.steps.lists import Cells, by_list, lists_for
from labse_tf.crawl.tasks import Made, Task, files_key, key_of
from labse_tf.files.atomic import atomic_file


def index(run: Run) -> None:
    """Writes index/centroids.npy, and for each shard index/SIDE-00000.npy and its starts."""
    extracted, embedded, options = run.needs("extract"), run.needs("embed"), run.options
    counts = {side: extracted.facts[side]["sentences"] for side in SIDES}
    lists = options.lists or lists_for(sum(counts.values()))
    lists = min(lists, sum(counts.values()))
    manifest = run.begin("index")
    sampled = {
        "counts": counts,
        "shard_rows": extracted.facts["shard_rows"],
        "lists": lists,
        "sample": options.sample,
        "seed": options.seed,
    }
    key = key_of(*(embedded.digest(f"{side}s") for side in SIDES))
    (centroids,) = run.phase(manifest, "centroids", [Task("index/centroids", train, sampled, key)])
    lists = centroids.counts["lists"]
    sizes = {}
    for side in SIDES:
        tasks = [
            Task(
                f"index/{os.path.basename(name)}",
                list_shard,
                {
                    "rows": f"{name}.npy",
                    "lists": lists,
                    "count": getattr(options, f"{side}_lists"),
                },
                key_of(files_key([centroids]), files_key([record])),
            )
            for name, record in embedded.records[f"{side}s"].items()
        ]
        run.phase(manifest, f"{side}s", tasks)
        starts = [f"{task.name}.starts.npy" for task in tasks]
        sizes[side] = Task(
            f"index/{side}-sizes", add_sizes, {"files": starts}, manifest.digest(f"{side}s")
        )
    run.phase(manifest, "sizes", list(sizes.values()))
    run.finish(manifest, {"lists": lists})


def train(folder: str, name: str, *, counts, shard_rows, lists, sample, seed) -> Made:
    """A sample of both sides -> NAME.npy, centroids, and NAME.cells.npy, if they are many."""
    total = sum(counts.values())
    rng = np.random.default_rng(seed)
    rows = np.arange(total)
    if total > lists * sample:
        rows = np.unique(rng.integers(total, size=lists * sample))
    parts, first = [], 0
    for side in SIDES:
        own = rows[(rows >= first) & (rows < first + counts[side])] - first
        kept = ShardedRows(folder, f"embed/{side}-{{shard:05d}}.npy", shard_rows).take(own)
        parts.append(as_floats(kept).astype(np.float32))
        first += counts[side]
    cells = Cells.train(np.concatenate(parts), lists, seed)
    for part, array in dataclasses.asdict(cells).items():
        with atomic_file(os.path.join(folder, f"{name}.{part}.npy"), "wb") as file:
            np.save(file, np.empty([0, 0], np.float32) if array is None else array)
    files = tuple(f"{name}.{field.name}.npy" for field in dataclasses.fields(Cells))
    return Made(files, {"lists": len(cells.centroids)})


def list_shard(folder: str, name: str, *, rows: str, lists: int, count: int) -> Made:
    """Embeddings -> NAME.npy, rows list by list, and NAME.starts.npy, where each list begins."""
    kept = as_floats(map_rows(os.path.join(folder, rows)))
    arrays = [map_rows(os.path.join(folder, f"index/centroids.{part}.npy")) for part in _PARTS]
    cells = Cells(np.asarray(arrays[0]), np.asarray(arrays[1]) if arrays[1].size else None)
    listed, starts = by_list(kept, cells.assign(kept, count), lists)
    for end, array in (("", listed), (".starts", starts)):
        with atomic_file(os.path.join(folder, f"{name}{end}.npy"), "wb") as file:
            np.save(file, array)
    return Made((f"{name}.npy", f"{name}.starts.npy"), {"rows": len(listed)})


_PARTS = tuple(field.name for field in dataclasses.fields(Cells))


def add_sizes(folder: str, name: str, *, files: list[str]) -> Made:
    """The starts of all shards -> NAME.npy, int64 [lists]: how many rows each list has."""
    sizes = sum(np.diff(map_rows(os.path.join(folder, file))) for file in files)
    with atomic_file(os.path.join(folder, f"{name}.npy"), "wb") as file:
        np.save(file, sizes)
    return Made((f"{name}.npy",))
