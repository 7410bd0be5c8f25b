"""write: the pairs with their text and where they are from, as TSV.gz and as Parquet."""

from __future__ import annotations

import gzip
import io
import os

import numpy as np

from labse_tf.crawl.extraction import SIDES
from labse_tf.crawl.run import Run
from labse_tf.crawl.sharded import map_rows
from labse_tf.crawl.tables import read_range, read_rows, table_writer
from labse_tf.crawl.tasks import Made, Task, key_of
from labse_tf.files.atomic import atomic_file

_ORIGIN = ("text", "url", "language", "file", "record", "position")
_TEXTS = {"rank": "int64", "text": "string", "url": "string", "language": "string"}
_TEXTS |= {"file": "int32", "record": "int64", "position": "int32"}
_PAIRS = {"score": "float32", "cosine": "float32"}
_PAIRS |= dict.fromkeys(SIDES, "string")
_PAIRS |= {
    f"{side}_{name}": {"record": "int64", "position": "int32"}.get(name, "string")
    for name in _ORIGIN[1:]
    for side in SIDES
}


def write(run: Run) -> list[str]:
    """Writes write/pairs-00000.tsv.gz and .parquet, the best pairs first; returns their paths.

    A line of the TSV is score, source, target, and the URLs of both.
    """
    extracted, scored = run.needs("extract"), run.needs("score")
    manifest = run.begin("write")
    shard_rows, per_file = extracted.facts["shard_rows"], run.options.pairs_per_file
    total = scored.facts["pairs"]
    files = max(1, -(-total // per_file))
    texts = {}
    for side in SIDES:
        tasks = [
            Task(
                f"write/texts/{side}-{shard:05d}",
                collect_texts,
                {
                    "side": side,
                    "shard": shard,
                    "shard_rows": shard_rows,
                    "per_file": per_file,
                    "files": files,
                },
                key_of(scored.digest("pairs"), extracted.digest(f"{side} shards")),
            )
            for shard in range(extracted.facts[side]["shards"])
        ]
        texts[side] = run.phase(manifest, f"{side} texts", tasks)
    key = key_of(scored.digest("pairs"), *(manifest.digest(f"{side} texts") for side in SIDES))
    tasks = []
    for number in range(files):
        pieces = {
            side: [
                (f"{record.name}.parquet", *record.counts["starts"][number : number + 2])
                for record in texts[side]
                if record.counts["starts"][number] < record.counts["starts"][number + 1]
            ]
            for side in SIDES
        }
        ranks = (number * per_file, min((number + 1) * per_file, total))
        arguments = {"ranks": ranks, "pieces": pieces, "inputs": extracted.facts["files"]}
        tasks.append(Task(f"write/pairs-{number:05d}", write_pairs, arguments, key))
    written = run.phase(manifest, "pairs", tasks)
    run.finish(manifest, {"pairs": total})
    return [run.path(path) for record in written for path in record.files]


def collect_texts(
    folder: str, name: str, *, side: str, shard: int, shard_rows: int, per_file: int, files: int
) -> Made:
    """The sentences of a shard that are in pairs -> NAME.parquet, by the rank of their pair."""
    rows, ranks = (
        map_rows(os.path.join(folder, f"score/pairs.{side}.{what}.npy"))
        for what in ("rows", "ranks")
    )
    own = slice(*np.searchsorted(rows, [shard * shard_rows, (shard + 1) * shard_rows]))
    rows, ranks = np.asarray(rows[own]) - shard * shard_rows, np.asarray(ranks[own])
    numbers, places = np.unique(rows, return_inverse=True)
    path = os.path.join(folder, f"extract/{side}-{shard:05d}.parquet")
    texts = read_rows(path, numbers, _ORIGIN)
    order = np.argsort(ranks)
    with table_writer(os.path.join(folder, f"{name}.parquet"), _TEXTS) as table:
        for rank, place in zip(ranks[order].tolist(), places.ravel()[order].tolist()):
            table.append((rank, *texts[place]))
    starts = np.searchsorted(ranks[order], np.arange(files + 1) * per_file)
    return Made((f"{name}.parquet",), {"starts": starts.tolist()})


def write_pairs(folder: str, name: str, *, ranks, pieces, inputs) -> Made:
    """The pairs of some ranks -> NAME.tsv.gz and NAME.parquet."""
    first, last = ranks
    pairs = np.array(map_rows(os.path.join(folder, "score/pairs.npy"))[first:last])
    texts = {side: _by_rank(folder, pieces[side], first, last - first) for side in SIDES}
    with (
        table_writer(os.path.join(folder, f"{name}.parquet"), _PAIRS) as table,
        atomic_file(os.path.join(folder, f"{name}.tsv.gz"), "wb") as file,
        # Neither a name nor a time: the same pairs are the same bytes.
        gzip.GzipFile("", "wb", 6, file, mtime=0) as zipped,
        io.TextIOWrapper(zipped, encoding="utf-8", newline="\n") as lines,
    ):
        for pair, source, target in zip(pairs, texts["source"], texts["target"]):
            score, cosine = float(pair["score"]), float(pair["cosine"])
            urls = (" ".join(side[1].split()) for side in (source, target))
            lines.write("\t".join([f"{score:.6f}", source[0], target[0], *urls]) + "\n")
            origins = (
                inputs[value] if what == "file" else value
                for what, *values in zip(_ORIGIN[1:], source[1:], target[1:])
                for value in values
            )
            table.append((score, cosine, source[0], target[0], *origins))
    return Made((f"{name}.tsv.gz", f"{name}.parquet"), {"pairs": len(pairs)})


def _by_rank(folder: str, pieces, first: int, count: int) -> list[tuple]:
    """The values of `_ORIGIN` of each rank."""
    found: list = [None] * count
    for path, start, end in pieces:
        for rank, *values in read_range(os.path.join(folder, path), start, end, list(_TEXTS)):
            found[rank - first] = tuple(values)
    return found
