"""Side: the sentences of one side, filtered and each once, on disk.

Their text is kept in a file; in memory is where each begins, and where its copies are: about 30
bytes a line, and 60 more while copies are looked for.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from collections.abc import Iterable, Iterator

import numpy as np

from labse_tf.data.duplicates import duplicate_hashes, group_duplicates
from labse_tf.files.atomic import atomic_file
from labse_tf.files.hashes import digests
from labse_tf.files.tsv import to_field
from labse_tf.mining.options import MiningOptions
from labse_tf.preparation.filters import Filter, of_length, of_scripts
from labse_tf.preparation.identification import known_labels, of_languages
from labse_tf.preparation.raw_pairs import BLOCK
from labse_tf.tokenization.scripts import scripts_of


@dataclasses.dataclass(frozen=True)
class Side:
    """Distinct sentences; row i is the i-th of them, in the order of their first copies.

    Args:
        name: "source" or "target".
        path: of the ids and sentences of all lines that were kept.
        begins: int64 [rows], where the line of each begins in it, in bytes.
        ends: int64 [rows].
        copies: int64 [lines kept], line numbers from 1 of the rows and their copies, row by row.
        copy_starts: int64 [rows + 1]: of row i `copies[copy_starts[i] : copy_starts[i + 1]]`.
        lines: how many were read.
        dropped: how many of them, by what dropped them.
        has_ids: whether they had ids.
    """

    name: str
    path: str
    begins: np.ndarray
    ends: np.ndarray
    copies: np.ndarray
    copy_starts: np.ndarray
    lines: int
    dropped: dict[str, int]
    has_ids: bool

    def __len__(self) -> int:
        return len(self.begins)

    def lines_of(self, row: int) -> list[int]:
        """Line numbers from 1 of a row and its copies."""
        return self.copies[self.copy_starts[row] : self.copy_starts[row + 1]].tolist()

    @property
    def once(self) -> np.ndarray:
        """bool [rows]: whether a sentence has no copy."""
        return np.diff(self.copy_starts) == 1

    def read(self, rows: np.ndarray) -> tuple[list[str], list[str]]:
        """Ids and sentences of rows, in any order; an id is the line number where there is none."""
        ids, texts = [], []
        with open(self.path, "rb") as file:
            for begin, end in zip(self.begins[rows].tolist(), self.ends[rows].tolist()):
                file.seek(begin)
                id_, _, text = file.read(end - begin).decode().removesuffix("\n").partition("\t")
                ids.append(id_)
                texts.append(text)
        return ids, texts

    def sentences(self, first: int = 0) -> Iterator[str]:
        """The rows' sentences in their order, from row `first` on."""
        for start in range(first, len(self), BLOCK):
            yield from self.read(np.arange(start, min(start + BLOCK, len(self))))[1]


def check_filters(options: MiningOptions) -> None:
    """Says what is wrong with the filters of sentences before any is read.

    Raises:
        ImportError: languages are to be identified, but the extra `preparation` is not installed.
        ValueError: a language's code is not known.
    """
    for name in ("source", "target"):
        _filters(name, options)


def read_side(
    lines: Iterable[str],
    name: str,
    folder: str,
    options: MiningOptions,
    place: str,
    may_have_ids: bool = True,
) -> Side:
    """Reads a side, or what an earlier run read of it.

    Args:
        lines: a sentence each; or id TAB sentence, if the first one has a TAB.
        name: "source" or "target".
        folder: to write to.
        options: which sentences stay, and which are copies of each other.
        place: the name of the input, for messages.
        may_have_ids: whether a TAB means an id.

    Raises:
        ValueError: there is no line, or no sentence is left; a line has no TAB where the first has
            one, or an id occurs twice (`place:line:`).
    """
    path, index = (os.path.join(folder, f"{name}.{ending}") for ending in ("txt", "npz"))
    if not os.path.exists(index):
        _write_side(lines, name, path, index, options, place, may_have_ids)
    with np.load(index) as arrays:
        names = ("begins", "ends", "copies", "copy_starts")
        side = Side(name, path, *map(arrays.get, names), **json.loads(str(arrays["facts"])))
    if not len(side):
        why = ", ".join(f"{count:,} {reason}" for reason, count in side.dropped.items() if count)
        if side.has_ids and side.dropped["empty"] == side.lines:
            raise ValueError(
                f"{place}: all {side.lines:,} lines have a TAB, and nothing after it. A TAB "
                "separates an id from its sentence: remove the TABs at the ends of the lines."
            )
        raise ValueError(
            f"{place}: no sentence is left of {side.lines:,} lines"
            f"{f' (dropped: {why})' if why else ''}. Give another file, or loosen what drops them."
        )
    return side


def _write_side(lines, name, path, index, options, place, may_have_ids) -> None:
    filters = _filters(name, options)
    dropped = {"empty": 0, **dict.fromkeys(filters, 0)}
    numbers, lengths = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    hashes, id_hashes = [np.zeros([0, 2], np.uint64)], [np.zeros([0, 2], np.uint64)]
    lines, count, has_ids = iter(lines), 0, False
    with atomic_file(path, "wb") as file:
        while block := list(itertools.islice(lines, BLOCK)):
            if not count:
                has_ids = may_have_ids and "\t" in block[0]
            rows = _parsed(block, count, has_ids, may_have_ids, place)
            if has_ids:
                id_hashes.append(digests(id_ for id_, _ in rows))
            kept = _kept([text for _, text in rows], filters, dropped)
            written = ["\t".join(rows[i]).encode() + b"\n" for i in kept]
            file.writelines(written)
            lengths.append(np.array([len(line) for line in written], np.int64))
            numbers.append(kept + count + 1)
            if options.deduplicate != "none":
                texts = [rows[i][1] for i in kept]
                hashes.append(duplicate_hashes(texts, options.deduplicate))
            count += len(block)
    _check_ids(np.concatenate(id_hashes), place)
    numbers, starts = np.concatenate(numbers), np.cumsum(np.concatenate([[0], *lengths]))
    of = firsts = np.arange(len(numbers))
    if options.deduplicate != "none":
        of, firsts = group_duplicates(np.concatenate(hashes))
    with atomic_file(index, "wb") as file:
        np.savez(
            file,
            begins=starts[firsts].astype(np.int64),
            ends=starts[firsts + 1].astype(np.int64),
            copies=numbers[np.argsort(of, kind="stable")],
            copy_starts=np.cumsum([0, *np.bincount(of, minlength=len(firsts))]).astype(np.int64),
            facts=json.dumps({"lines": count, "dropped": dropped, "has_ids": has_ids}),
        )


def _kept(texts: list[str], filters: dict[str, Filter], dropped: dict[str, int]) -> np.ndarray:
    """The places of the texts that pass, int64; counts the others."""
    places = np.flatnonzero([bool(text) for text in texts])
    dropped["empty"] += len(texts) - len(places)
    for reason, keep in filters.items():
        pairs = [(texts[i], texts[i]) for i in places]
        passed = places[np.fromiter(keep(pairs), bool, len(pairs))]
        dropped[reason] += len(places) - len(passed)
        places = passed
    return places


def _parsed(
    block: list[str], before: int, has_ids: bool, may_have_ids: bool, place: str
) -> list[tuple[str, str]]:
    """(id, sentence) of lines; the sentences without TABs, and without white space at the ends."""
    rows = []
    for number, line in enumerate(block, start=before + 1):
        id_, text = str(number), line
        if may_have_ids:
            head, tab, rest = line.partition("\t")
            if bool(tab) != has_ids:
                expected = "id TAB sentence, as in line 1" if has_ids else "no TAB, as in line 1"
                raise ValueError(f"{place}:{number}: expected {expected}, but got {line!r:.100}.")
            if has_ids:
                id_, text = head, rest
        rows.append((id_, to_field(text).strip()))
    return rows


def _check_ids(hashes: np.ndarray, place: str) -> None:
    of, firsts = group_duplicates(hashes)
    if len(firsts) < len(of):
        again = np.ones(len(of), bool)
        again[firsts] = False
        line = int(np.argmax(again))
        raise ValueError(
            f"{place}:{line + 1}: the id of this line occurs twice, first in line "
            f"{firsts[of[line]] + 1}."
        )


def _filters(name: str, options: MiningOptions) -> dict[str, Filter]:
    filters: dict[str, Filter] = {}
    if options.min_length > 1 or options.max_length:
        filters["length"] = of_length(options.min_length, options.max_length or 2**31)
    if language := getattr(options, f"{name}_language"):
        if options.min_script_share:
            filters["language"] = of_scripts([scripts_of(language), None], options.min_script_share)
        if options.language_filter == "identified":
            labels = known_labels(language)
            filters["identification"] = of_languages([labels, None], options.language_odds)
    return filters
