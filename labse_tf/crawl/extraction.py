"""What the tasks of `extract` do: sentences of a file, first places of hashes, shards."""

from __future__ import annotations

import collections
import contextlib
import gzip
import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from labse_tf.crawl.sharded import map_rows
from labse_tf.crawl.steps.near_duplicates import (
    HASH,
    NO_KEY,
    first_places,
    hashes_of,
    part_of,
    sorted_by_hash,
)
from labse_tf.crawl.steps.records import Skipped, read_records
from labse_tf.crawl.steps.sentences import SentenceMaker
from labse_tf.crawl.tables import read_rows, table_writer
from labse_tf.crawl.tasks import Made
from labse_tf.files.atomic import atomic_file

SIDES = ("source", "target")
# How settings of CrawlOptions are called in `SentenceMaker`, and which say what is read.
MAKING = {
    "identify": "identify",
    "language_odds": "odds",
    "split": "split",
    "min_length": "shortest",
    "max_length": "longest",
}
READING = {"text_field": "text_field", "url_field": "url_field", "max_record": "longest"}
COLUMNS = {
    "file": "int32",
    "record": "int64",
    "position": "int32",
    "language": "string",
    "url": "string",
    "text": "string",
}
_HASHED_AT_ONCE = 16_384


def sentence_maker(
    languages: Mapping[str, Sequence[str]], settings: Mapping[str, Any]
) -> SentenceMaker:
    """The SentenceMaker of some settings of CrawlOptions."""
    return SentenceMaker(languages, **{own: settings[name] for name, own in MAKING.items()})


def read_file(folder: str, name: str, *, number, path, side, languages, **settings) -> Made:
    """A file -> NAME.SIDE.parquet, its sentences; NAME.SIDE.npy, their hashes; NAME.skipped.tsv."""
    maker = sentence_maker(languages, settings)
    counts: collections.Counter[str] = collections.Counter()
    out = os.path.join(folder, name)
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(open(path, "rb"))
        skipped = stack.enter_context(atomic_file(f"{out}.skipped.tsv"))
        writers = {own: stack.enter_context(_SideWriter.open(f"{out}.{own}")) for own in SIDES}
        options = {own: settings[setting] for setting, own in READING.items()}
        for record in read_records(stream, path, **options):
            counts["records"] += 1
            if isinstance(record, Skipped):
                counts[f"skipped: {record.reason}"] += 1
                skipped.write(f"{path}\t{record.place}\t{record.reason}\n")
                continue
            positions = dict.fromkeys(SIDES, 0)
            for line in record.lines:
                counts["lines"] += 1
                own, language, sentences = maker.of_line(line, side)
                for text in sentences:
                    row = (number, record.number, positions[own], language, record.url, text)
                    writers[own].append(row)
                    positions[own] += 1
    counts.update({f"dropped: {reason}": n for reason, n in maker.dropped.items()})
    files = [f"{name}.{own}.{end}" for own in SIDES for end in ("parquet", "npy")]
    for writer in writers.values():
        counts["dropped: neither letters nor numbers"] += writer.without_key
    return Made(
        (*files, f"{name}.skipped.tsv"),
        {"counts": dict(+counts), **{own: writers[own].keyed for own in SIDES}},
    )


class _SideWriter:
    """Sentences of a side, and their hashes.

    Attributes:
        without_key: how many have neither letters nor numbers, which are not kept.
    """

    def __init__(self, table):
        self._table, self._texts, self._hashes = table, [], []
        self.without_key = 0

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: str):
        with table_writer(f"{path}.parquet", COLUMNS) as table:
            writer = cls(table)
            yield writer
        writer._hash()
        with atomic_file(f"{path}.npy", "wb") as file:
            hashes = np.concatenate(writer._hashes) if writer._hashes else np.empty(0, np.uint64)
            np.save(file, sorted_by_hash(hashes))

    @property
    def keyed(self) -> int:
        """How many have letters or numbers."""
        return self._table.rows - self.without_key

    def append(self, row: tuple) -> None:
        self._table.append(row)
        self._texts.append(row[-1])
        if len(self._texts) == _HASHED_AT_ONCE:
            self._hash()

    def _hash(self) -> None:
        self._hashes.append(hashes_of(self._texts))
        self.without_key += int((self._hashes[-1] == NO_KEY).sum())
        self._texts = []


def find_first(folder: str, name: str, *, files: list[str], part: int, parts: int) -> Made:
    """A part of all hashes -> NAME.npy, where each occurs first; counts: of each file."""
    hashes = [np.asarray(part_of(map_rows(os.path.join(folder, f)), part, parts)) for f in files]
    places = first_places(hashes) if hashes else np.empty(0, HASH)
    with atomic_file(os.path.join(folder, f"{name}.npy"), "wb") as file:
        np.save(file, places)
    counts = np.bincount(places["file"], minlength=len(files))
    return Made((f"{name}.npy",), {"kept": counts.tolist()})


def cut_shard(
    folder: str, name: str, *, places: list[str], pieces: list[tuple[str, int, int, int]]
) -> Made:
    """Kept sentences of files that follow each other -> NAME.parquet, NAME.languages.npy.

    Args:
        places: files of `find_first`.
        pieces: (table, number of the file, first and last + 1 of its kept sentences).
    """
    languages = []
    with table_writer(os.path.join(folder, f"{name}.parquet"), COLUMNS) as table:
        for path, number, start, end in pieces:
            rows = _kept_rows(folder, places, number)[start:end]
            for row in read_rows(os.path.join(folder, path), rows, list(COLUMNS)):
                table.append(row)
                languages.append(row[3])
    with atomic_file(os.path.join(folder, f"{name}.languages.npy"), "wb") as file:
        np.save(file, np.array(languages, "S3"))
    return Made((f"{name}.parquet", f"{name}.languages.npy"), {"rows": len(languages)})


def _kept_rows(folder: str, places: list[str], number: int) -> np.ndarray:
    """The rows of a file that are kept, ascending."""
    rows = []
    for path in places:
        part = map_rows(os.path.join(folder, path))
        begin, end = np.searchsorted(part["file"], [number, number + 1])
        rows.append(part["row"][begin:end])
    return np.sort(np.concatenate(rows)).astype(np.int64)


def join_skipped(folder: str, name: str, *, files: list[str]) -> Made:
    """What was skipped in all files -> NAME.tsv.gz: file, place, reason."""
    with (
        atomic_file(os.path.join(folder, f"{name}.tsv.gz"), "wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as out,
    ):
        for path in files:
            with open(os.path.join(folder, path), "rb") as part:
                shutil.copyfileobj(part, out)
    return Made((f"{name}.tsv.gz",))
