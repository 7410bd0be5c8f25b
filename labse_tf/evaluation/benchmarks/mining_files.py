"""The files of bitext mining in BUCC's format."""

from __future__ import annotations

import dataclasses
import os
import re

from labse_tf.evaluation.benchmarks.files import check_directory, read_sentences_of
from labse_tf.evaluation.observer import Observer

_NAME = re.compile(
    r"(?P<name>(?P<one>[a-z]{2,3})-(?P<other>[a-z]{2,3})(\.[\w]+)?)\.gold(?P<gz>\.gz)?"
)
_LAYOUT = (
    "<xx>-<yy>.<xx>, <xx>-<yy>.<yy> (id TAB sentence, or sentences only, whose ids are their line "
    "numbers from 1) and <xx>-<yy>.gold (id TAB id); or with a split, as de-en.training.de, as "
    "BUCC's from https://comparable.limsi.fr/bucc2018; plain or .gz."
)


@dataclasses.dataclass(frozen=True)
class MiningSet:
    """Two sets of sentences, and the rows (source, target) that are translations."""

    sources: list[str]
    targets: list[str]
    gold: frozenset[tuple[int, int]]


def find_sets(data_dir: str | os.PathLike | None) -> dict[str, tuple[str, str, str]]:
    """Paths of the source, target and gold file of each set, by its name, as "de-en.test".

    Raises:
        FileNotFoundError: there is no such directory, no gold list in it, or a side is missing.
    """
    directory = check_directory(data_dir, "mining", _LAYOUT)
    sets = {}
    for name in sorted(os.listdir(directory)):
        if match := _NAME.fullmatch(name):
            sides = [
                os.path.join(directory, f"{match['name']}.{match[side]}{match['gz'] or ''}")
                for side in ("one", "other")
            ]
            if missing := [path for path in sides if not os.path.exists(path)]:
                raise FileNotFoundError(f"There is no file {missing[0]!r}. Expected: {_LAYOUT}")
            sets[match["name"]] = (*sides, os.path.join(directory, name))
    if not sets:
        raise FileNotFoundError(f"There is no *.gold in {directory!r}. Expected: {_LAYOUT}")
    return sets


def read_set(paths: tuple[str, str, str], observer: Observer) -> MiningSet:
    """Reads a set; ValueError with file and line if an id occurs twice or is unknown."""
    sources, targets = (_read_side(path, observer) for path in paths[:2])
    rows = [{id_: row for row, id_ in enumerate(side)} for side in (sources, targets)]
    gold = set()
    for number, line in enumerate(read_sentences_of(paths[2], observer), start=1):
        ids = line.split("\t")
        if len(ids) != 2:
            raise ValueError(f"{paths[2]}:{number}: expected id TAB id, but got {line!r:.100}.")
        for id_, known, path in zip(ids, rows, paths):
            if id_ not in known:
                raise ValueError(f"{paths[2]}:{number}: {path} has no sentence {id_!r}.")
        gold.add((rows[0][ids[0]], rows[1][ids[1]]))
    return MiningSet(list(sources.values()), list(targets.values()), frozenset(gold))


def _read_side(path: str, observer: Observer) -> dict[str, str]:
    """Sentences by their ids."""
    lines = read_sentences_of(path, observer)
    if not any("\t" in line for line in lines):
        return {str(number): line for number, line in enumerate(lines, start=1)}
    sentences: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        id_, tab, sentence = line.partition("\t")
        if not tab:
            raise ValueError(f"{path}:{number}: expected id TAB sentence, but got {line!r:.100}.")
        if id_ in sentences:
            raise ValueError(f"{path}:{number}: the id {id_!r} occurs twice.")
        sentences[id_] = sentence
    return sentences
