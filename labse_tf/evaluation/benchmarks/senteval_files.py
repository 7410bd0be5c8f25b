"""SentEval's files: its own layout, and lines of `label text`."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable

import numpy as np

from labse_tf.evaluation.observer import Observer
from labse_tf.files.lines import read_lines

LAYOUT = (
    "SentEval's data/downstream (https://github.com/facebookresearch/SentEval: MR/rt-polarity.pos "
    "and .neg, CR/custrev.pos, SUBJ/subj.objective, MPQA/mpqa.pos, TREC/train_5500.label and "
    "TREC_10.label, SST/binary/sentiment-train, MRPC/msr_paraphrase_train.txt...); or files of "
    "`label text` (rt-polarity.all, custrev.all, subj.all, mpqa.all, TREC.train.all and "
    "TREC.test.all, stsa.binary.train, .dev and .test, msr_paraphrase_train.txt and _test.txt)."
)


@dataclasses.dataclass(frozen=True)
class Examples:
    """Labelled sentences, or pairs of them.

    Args:
        sentences: one list, or two of equal length.
        labels: int64 [rows].
    """

    sentences: tuple[list[str], ...]
    labels: np.ndarray


def read_task(directory: str, task: str, observer: Observer) -> dict[str, Examples]:
    """A task's splits: "all", or "train" and "test", with "validation" for SST-2.

    Raises:
        FileNotFoundError: neither layout's files are there.
        ValueError: a line is not of its form (file and line).
    """
    for files, read in _LAYOUTS[task]:
        paths = {
            split: [os.path.join(directory, name) for name in names]
            for split, names in files.items()
        }
        if all(os.path.exists(path) for group in paths.values() for path in group):
            for path in (path for group in paths.values() for path in group):
                observer.on_file(path)
            return {split: _joined(split, group, read) for split, group in paths.items()}
    wanted = " or ".join(", ".join(sum(files.values(), ())) for files, _ in _LAYOUTS[task])
    raise FileNotFoundError(f"There is no {wanted} in {directory!r}. Expected: {LAYOUT}")


def _joined(split: str, paths: list[str], read: Callable) -> Examples:
    """The rows of files; the names of labels become numbers, in their alphabetical order."""
    rows = [row for label, path in enumerate(paths) for row in read(path, label)]
    if not rows:
        raise ValueError(f"{', '.join(paths)}: there is nothing in {split!r}.")
    labels, *sides = zip(*rows)
    return Examples(tuple(list(side) for side in sides), np.array(labels))


def _class_file(path: str, number_of_file: int):
    """A file whose lines are all of one class: the original MR, CR, SUBJ and MPQA."""
    return [(number_of_file, line) for line in _latin_lines(path)]


def _label_first(label_of: Callable[[str], int]):
    def read(path: str, number_of_file: int):
        for number, line in enumerate(_latin_lines(path), start=1):
            label, _, text = line.partition(" ")
            try:
                yield label_of(label), text
            except (ValueError, KeyError) as error:
                raise ValueError(
                    f"{path}:{number}: expected a label and a sentence, but got {line!r:.100}."
                ) from error

    return read


def _label_last(path: str, number_of_file: int):
    """Sentence TAB label: the original SST-2."""
    for number, line in enumerate(read_lines(path), start=1):
        text, found, label = line.rpartition("\t")
        if not found or label not in ("0", "1"):
            raise ValueError(
                f"{path}:{number}: expected a sentence TAB 0 or 1, but got {line!r:.100}."
            )
        yield int(label), text


def _paraphrases(path: str, number_of_file: int):
    """Quality, two ids, two strings; a header first. Quotation marks are of the text."""
    for number, line in enumerate(itertools.islice(read_lines(path), 1, None), start=2):
        row = line.split("\t")
        if len(row) != 5 or row[0] not in ("0", "1"):
            raise ValueError(
                f"{path}:{number}: expected 0 or 1, two ids and two sentences, but got "
                f"{row!r:.100}."
            )
        yield int(row[0]), row[3], row[4]


def _latin_lines(path: str) -> list[str]:
    """Lines in UTF-8, or else in Latin-1, as SentEval's are."""
    with open(path, "rb") as file:
        text = file.read()
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError:
        decoded = text.decode("latin-1")
    return [line.rstrip("\r") for line in decoded.removesuffix("\n").split("\n") if line.strip()]


_QUESTIONS = {name: i for i, name in enumerate(("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"))}
_label_and_text = _label_first(int)
# TREC's fine classes, as in "NUM:dist How far is it", are taken together.
_question = _label_first(lambda label: _QUESTIONS[label.split(":")[0]])
_MRPC = {"train": ("msr_paraphrase_train.txt",), "test": ("msr_paraphrase_test.txt",)}


def _all(original: tuple[str, str], plain: str):
    return [({"all": original}, _class_file), ({"all": (plain,)}, _label_and_text)]


_LAYOUTS = {
    "MR": _all(("MR/rt-polarity.neg", "MR/rt-polarity.pos"), "rt-polarity.all"),
    "CR": _all(("CR/custrev.neg", "CR/custrev.pos"), "custrev.all"),
    "SUBJ": _all(("SUBJ/subj.subjective", "SUBJ/subj.objective"), "subj.all"),
    "MPQA": _all(("MPQA/mpqa.neg", "MPQA/mpqa.pos"), "mpqa.all"),
    "TREC": [
        ({"train": ("TREC/train_5500.label",), "test": ("TREC/TREC_10.label",)}, _question),
        ({"train": ("TREC.train.all",), "test": ("TREC.test.all",)}, _label_and_text),
    ],
    "SST-2": [
        (
            {
                "train": ("SST/binary/sentiment-train",),
                "validation": ("SST/binary/sentiment-dev",),
                "test": ("SST/binary/sentiment-test",),
            },
            _label_last,
        ),
        (
            {
                "train": ("stsa.binary.train",),
                "validation": ("stsa.binary.dev",),
                "test": ("stsa.binary.test",),
            },
            _label_and_text,
        ),
    ],
    "MRPC": [
        (
            {split: tuple(f"MRPC/{name}" for name in names) for split, names in _MRPC.items()},
            _paraphrases,
        ),
        (_MRPC, _paraphrases),
    ],
}
