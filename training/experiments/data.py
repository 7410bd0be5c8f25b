"""What an experiment is trained on: some languages, some pairs of each, taken at random."""

from __future__ import annotations

import dataclasses
import gzip
import os
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from labse_tf.data.pair_files import read_columns
from labse_tf.evaluation.benchmarks.tatoeba import LANGUAGES
from labse_tf.files.atomic import atomic_directory
from labse_tf.training.config import option


@dataclasses.dataclass(frozen=True)
class Data:
    """What is trained and measured on, and how often; all experiments have these flags."""

    languages: str = option(
        "ara,cmn,deu,ell,fra,heb,hin,jpn,kor,rus,spa,tur,ukr",
        "codes of the languages; '' for all that the directory and the Tatoeba test have",
    )
    max_pairs: int = option(20_000, "most pairs of a language, drawn at random; 0: all")
    seq_length: int = option(24, "longest sentence in tokens", model_garden=32)
    seeds: int = option(3, "runs of each kind: --seed, --seed + 1, ...; more may be added later")
    tatoeba: str = option("", "directory of the Tatoeba test; '' for the one in labse_tf")


def files_of(directory: str, languages: str) -> dict[str, str]:
    """The files of pairs by language.

    Args:
        directory: holds <code>-eng.tsv.gz.
        languages: codes with commas between; "" for all.

    Raises:
        FileNotFoundError, ValueError: there is no such directory, or a language is not there.
    """
    if not os.path.isdir(directory):
        raise FileNotFoundError(f"There is no directory {directory!r} of <code>-eng.tsv.gz.")
    there = {
        name.removesuffix("-eng.tsv.gz"): os.path.join(directory, name)
        for name in sorted(os.listdir(directory))
        if name.endswith("-eng.tsv.gz")
    }
    known = [code for code in there if code in LANGUAGES]
    codes = [code.strip() for code in languages.split(",")] if languages else known
    if missing := sorted(set(codes) - set(known)) or not codes:
        raise ValueError(
            f"{directory!r} or the Tatoeba test lacks the languages {missing}; both have "
            f"{', '.join(known) or 'none in common'}. Choose some of these with --languages."
        )
    return {code: there[code] for code in codes}


def draw_pairs(
    files: Iterable[str], folder: str, wanted: Callable[[int], int], seed: int = 0
) -> list[str]:
    """Writes some pairs of each file to a file of the same name in `folder`, in their order.

    With the same seed, what is drawn for a smaller number is a part of what is for a larger one.
    A folder that is there is left as it is.

    Args:
        files: of translation pairs, see `labse_tf.data.pair_files`; `.tsv.gz`.
        folder: is written whole or not at all.
        wanted: from a file's number of pairs to how many of them to take.
        seed: of the choice.

    Returns:
        The paths of the files in `folder`.
    """
    files = list(files)
    if not os.path.isdir(folder):
        with atomic_directory(folder) as unfinished:
            for file in files:
                pairs = list(read_columns(file))
                order = np.random.default_rng(seed).permutation(len(pairs))
                rows = sorted(order[: wanted(len(pairs))])
                write_rows([pairs[i] for i in rows], _in(unfinished, file))
    return [_in(folder, file) for file in files]


def write_rows(rows: Sequence[Sequence[str]], path: str) -> None:
    """Columns to a `.tsv.gz`."""
    with gzip.open(path, "wt", encoding="utf-8", newline="\n") as file:
        file.writelines("\t".join(row) + "\n" for row in rows)


def _in(folder: str, file: str) -> str:
    return os.path.join(folder, os.path.basename(file))
