"""extract: files of a crawl -> shards of sentences of either side, with where they are from."""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from labse_tf.crawl import extraction
from labse_tf.crawl.extraction import MAKING, READING, SIDES, sentence_maker
from labse_tf.crawl.options import languages_of
from labse_tf.crawl.run import Manifest, Run
from labse_tf.crawl.tables import check_installed
from labse_tf.crawl.tasks import Record, Task, key_of


@dataclasses.dataclass(frozen=True)
class CrawlFile:
    """An input.

    Args:
        path: that every process can read.
        side: "source" or "target"; None where each line's language decides.
    """

    path: str
    side: str | None


def extract(run: Run, files: Sequence[CrawlFile]) -> None:
    """Reads the files into extract/SIDE-00000.parquet (file, record, position, language, url, text)
    and extract/skipped.tsv.gz (file, place, reason).

    Of near-duplicates of a side the first one stays, by file, record and position.

    Raises:
        FileNotFoundError, ValueError: an input is absent, a language cannot be had, a side is
            empty.
        ImportError: what a file needs is not installed.
    """
    languages = check_extract(run, files)
    files = [CrawlFile(os.path.abspath(file.path), file.side) for file in files]
    states = [[file.path, file.side, *_state(file.path)] for file in files]
    manifest = run.begin("extract", {"files": states})
    settings = {name: manifest.settings[name] for name in (*MAKING, *READING)}
    read = run.phase(
        manifest,
        "sentences",
        [
            Task(
                f"extract/read/{number:05d}",
                extraction.read_file,
                {
                    "number": number,
                    "path": file.path,
                    "side": file.side,
                    "languages": languages,
                    **settings,
                },
                key_of(state),
            )
            for number, (file, state) in enumerate(zip(files, states))
        ],
    )
    skipped = [f"{record.name}.skipped.tsv" for record in read]
    key = manifest.digest("sentences")
    run.phase(
        manifest,
        "skipped",
        [Task("extract/skipped", extraction.join_skipped, {"files": skipped}, key)],
    )
    counts = _added(record.counts["counts"] for record in read)
    facts = {"languages": languages, "files": [file.path for file in files], "counts": counts}
    kept = {side: _first(run, manifest, side, read) for side in SIDES}
    for side, rows in kept.items():
        if not rows.sum():
            told = "; ".join(f"{name} {n:,}" for name, n in counts.items() if ": " in name)
            raise ValueError(
                f"There is no {side} sentence ({', '.join(languages[side])}) in {len(files)} files "
                f"of {counts.get('lines', 0):,} lines ({told or 'nothing was dropped'})."
            )
    for side, rows in kept.items():
        shards = _cut(run, manifest, side, rows, [record.name for record in read])
        facts[side] = {"sentences": int(rows.sum()), "shards": shards}
        counts[f"{side} sentences"] = int(rows.sum())
        counts[f"{side} near-duplicates"] = sum(r.counts[side] for r in read) - int(rows.sum())
    run.finish(manifest, {**facts, "shard_rows": run.options.shard_rows})


def check_extract(run: Run, files: Sequence[CrawlFile]) -> dict[str, list[str]]:
    """The languages of both sides, if all is there that `extract` needs; raises as it does."""
    options = run.options
    check_installed()
    languages = {
        side: list(languages_of(getattr(options, f"{side}_language"), f"{side}_language"))
        for side in SIDES
    }
    if not files:
        raise ValueError("No files were given: --input for mixed ones, or --source and --target.")
    for file in files:
        if not os.path.isfile(file.path):
            raise FileNotFoundError(f"There is no file {file.path!r}.")
        if file.side is None and not options.identify:
            raise ValueError(
                f"{file.path!r} is of no side, so its lines' languages must be identified: give it "
                "by --source or --target, or without --no-identify."
            )
    for path, count in collections.Counter(os.path.realpath(f.path) for f in files).items():
        if count > 1:
            raise ValueError(
                f"{path!r} is given {count} times: a file of both sides is an --input, once."
            )
    sentence_maker(languages, options.of_stage("extract"))
    return languages


def _state(path: str) -> tuple[int, int]:
    """What tells that a file has changed, without reading terabytes: its size and its time."""
    state = os.stat(path)
    return state.st_size, state.st_mtime_ns


def _first(run: Run, manifest: Manifest, side: str, read: Sequence[Record]) -> np.ndarray:
    """How many sentences of a side are kept of each file, int64 [files]."""
    total = sum(record.counts[side] for record in read)
    parts = max(1, -(-total // run.options.dedup_rows))
    files = [f"{record.name}.{side}.npy" for record in read]
    records = run.phase(
        manifest,
        f"{side} duplicates",
        [
            Task(
                f"extract/first/{side}-{part:05d}",
                extraction.find_first,
                {"files": files, "part": part, "parts": parts},
                manifest.digest("sentences"),
            )
            for part in range(parts)
        ],
    )
    return np.sum([record.counts["kept"] for record in records], axis=0, dtype=np.int64)


def _cut(run: Run, manifest: Manifest, side: str, kept: np.ndarray, names: Sequence[str]) -> int:
    """Cuts the kept sentences of all files into shards; returns how many."""
    key = key_of(manifest.digest("sentences"), manifest.digest(f"{side} duplicates"))
    places = [f"{name}.npy" for name in manifest.records[f"{side} duplicates"]]
    ends = np.cumsum(kept)
    tasks = []
    for shard, begin in enumerate(range(0, int(ends[-1]), run.options.shard_rows)):
        end = min(begin + run.options.shard_rows, int(ends[-1]))
        pieces = []
        for file in range(*_files_of(ends, begin, end)):
            before = int(ends[file] - kept[file])
            piece = (max(begin - before, 0), min(end, int(ends[file])) - before)
            if piece[0] < piece[1]:
                pieces.append((f"{names[file]}.{side}.parquet", file, *piece))
        arguments = {"places": places, "pieces": pieces}
        tasks.append(Task(f"extract/{side}-{shard:05d}", extraction.cut_shard, arguments, key))
    run.phase(manifest, f"{side} shards", tasks)
    return len(tasks)


def _files_of(ends: np.ndarray, begin: int, end: int) -> tuple[int, int]:
    """The first file, and the last + 1, with kept sentences from `begin` to `end` of all."""
    first = np.searchsorted(ends, begin, side="right")
    return int(first), int(np.searchsorted(ends, end, side="left")) + 1


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: collections.Counter[str] = collections.Counter()
    for some in counts:
        total.update(some)
    return dict(sorted(total.items()))
