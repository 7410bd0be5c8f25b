"""What is known to be right of mined pairs: precision and recall."""

from __future__ import annotations

import os

import numpy as np

from labse_tf.evaluation.benchmarks.mining import Ranked
from labse_tf.files.lines import read_lines
from labse_tf.mining.pairs import Pairs
from labse_tf.mining.sides import Side

_READ = 8192  # pairs


def read_gold(path: str | os.PathLike, source: Side, target: Side) -> set[tuple[str, str]]:
    """Pairs of ids that are translations, of a file of `id TAB id`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is empty, a line is something else, or has an id that no sentence has
            (`file:line:`).
    """
    path, gold, known = os.fspath(path), set(), []
    lines = [line.split("\t") for line in read_lines(path)]
    for number, ids in enumerate(lines, start=1):
        if len(ids) != 2:
            raise ValueError(
                f"{path}:{number}: expected id TAB id, but got {chr(9).join(ids)!r:.100}."
            )
    if not lines:
        raise ValueError(f"{path}: the file is empty.")
    for column, side in enumerate((source, target)):
        known.append(_known({ids[column] for ids in lines}, side))
    for number, ids in enumerate(lines, start=1):
        for id_, of_side, side in zip(ids, known, (source, target)):
            if id_ not in of_side:
                raise ValueError(
                    f"{path}:{number}: no {side.name} has the id {id_!r}; ids are what stands "
                    "before the TAB, or line numbers from 1."
                )
        gold.add(tuple(ids))
    return gold


def _known(ids: set[str], side: Side) -> set[str]:
    """Those of the ids that lines have, or may have had."""
    if not side.has_ids:
        return {id_ for id_ in ids if id_.isdecimal() and 1 <= int(id_) <= side.lines}
    if any(side.dropped.values()):  # the ids of lines that were dropped are not known
        return ids
    with open(side.path, "rb") as file:
        return ids & {line.partition(b"\t")[0].decode() for line in file}


def ranked(pairs: Pairs, source: Side, target: Side, gold: set[tuple[str, str]]) -> Ranked:
    """The pairs, and which are right, as `labse evaluate mining` counts.

    A sentence that has copies is in no pair, since its line cannot be told; right pairs with one
    count as not found.
    """
    pairs = pairs.where(source.once[pairs.rows[:, 0]] & target.once[pairs.rows[:, 1]])
    right: list[bool] = []
    for start in range(0, len(pairs), _READ):
        rows = pairs.rows[start : start + _READ]
        ids = zip(source.read(rows[:, 0])[0], target.read(rows[:, 1])[0])
        right += [pair in gold for pair in ids]
    return Ranked(pairs.scores, np.array(right, bool), len(gold))
