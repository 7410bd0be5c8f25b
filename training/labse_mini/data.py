"""The stage "data": pairs by language, without test sentences, and development pairs apart.

In DIR/data are then

- sentences/, dictionaries/, others/: pairs to train on, a file a language and, in others/, a file
  a language of the pairs without English; with counts.json each;
- development/everyday/ and development/other/: pairs that nothing is trained on, `<code>-eng.tsv`;
- excluded.txt: the test sentences, and others held out: no training pair holds one.
"""

from __future__ import annotations

import collections
import glob
import gzip
import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator

from labse_tf.data.duplicates import cleaned, leakage_keys
from labse_tf.files.atomic import atomic_directory
from labse_tf.preparation.options import PreparationOptions
from labse_tf.preparation.prepare_pairs import prepare_pairs
from training.labse_mini.settings import DataSettings
from training.labse_mini.sources import DICTIONARY, EVERYDAY, is_shipped

KINDS = ("sentences", "dictionaries", "others")
_SHORTEST_OF_SENTEVAL = 3  # words; its phrases of one or two are no sentences
Row = tuple[str, str, str]


def prepare(
    data: str, output: str, settings: DataSettings, held_out_sentences: Iterable[str] = ()
) -> None:
    """Writes the stage's directory, whole or not at all.

    Args:
        data: directory with train/, train2/, train-x/ (`a-b.tsv.gz`, of three columns: sentence,
            sentence, source) and eval/.
        output: the directory to write.
        settings: how much of what.
        held_out_sentences: that no pair may hold, beside those of the tests.

    Raises:
        FileNotFoundError: `data` has no such files.
        ValueError: a line is no pair, or its source's licence is not known.
    """
    if not glob.glob(os.path.join(data, "train", "*.tsv.gz")):
        raise FileNotFoundError(f"{data!r} has no train/*.tsv.gz to train on.")
    with atomic_directory(output) as folder:
        excluded = itertools.chain(test_sentences(data), map(cleaned, held_out_sentences))
        _write_lines(os.path.join(folder, "excluded.txt"), excluded)
        keys = set(leakage_keys(_read_text(os.path.join(folder, "excluded.txt"))))
        raw = os.path.join(folder, "raw")
        for kind in KINDS:
            os.makedirs(os.path.join(raw, kind))
        held_out = _divide(data, raw, keys, settings)
        development = os.path.join(folder, "development.txt")
        _write_lines(development, _write_development(folder, held_out))
        options = PreparationOptions(min_script_share=0, format="tsv", seed=settings.seed)
        exclude = [os.path.join(folder, "excluded.txt"), development]
        for kind in KINDS:
            files = sorted(glob.glob(os.path.join(raw, kind, "*.tsv")))
            prepare_pairs(files, os.path.join(folder, kind), options, exclude=exclude)
            for file in files:
                os.remove(file)
            os.rmdir(os.path.join(raw, kind))
        os.rmdir(raw)


def test_sentences(data: str) -> Iterator[str]:
    """Every sentence of eval/, cleaned."""
    evaluation = os.path.join(data, "eval")

    def lines(pattern: str, encoding: str = "utf-8") -> Iterator[str]:
        paths = sorted(glob.glob(os.path.join(evaluation, pattern)))
        if not paths:
            raise FileNotFoundError(f"{evaluation!r} has no {pattern}.")
        for path in paths:
            yield from _read_text(path, encoding)

    for pattern in ("tatoeba/tatoeba.*-eng.*", "ntrex/newstest2019-*.txt.gz"):
        yield from map(cleaned, lines(pattern))
    for pattern in ("mining/*.de", "mining/*.fr", "mining/*.en", "sts/*.tsv.gz"):
        for line in lines(pattern):
            yield from map(cleaned, line.split("\t")[1:])
    for line in lines("nmt/*.tsv"):
        yield from map(cleaned, line.split("\t"))
    for line in lines("senteval/*.txt"):  # MRPC
        yield from map(cleaned, line.split("\t")[3:])
    for pattern in ("senteval/*.all", "senteval/stsa.*"):
        for line in lines(pattern, "latin-1"):
            words = line.split()[1:]
            if len(words) >= _SHORTEST_OF_SENTEVAL:
                yield " ".join(words)


def _divide(
    data: str, raw: str, excluded: set[str], settings: DataSettings
) -> dict[tuple[str, str], list[Row]]:
    """Writes all pairs by kind and language; returns the development pairs by group and language.

    A pair is for development if its English is of those whose hash says so: for all languages then,
    so that no other language shows the model its English.
    """
    held_out: dict[tuple[str, str], list[Row]] = collections.defaultdict(list)
    counts: collections.Counter[str] = collections.Counter()
    for folder in ("train", "train2"):
        for path in sorted(glob.glob(os.path.join(data, folder, "*-eng.tsv.gz"))):
            language = os.path.basename(path).split("-")[0]
            sentences, dictionary = [], []
            for row in read_rows(path):
                if settings.copyleft or is_shipped(row[2], language):
                    (dictionary if row[2].startswith(DICTIONARY) else sentences).append(row)
            if folder == "train":
                keys = leakage_keys(row[1] for row in sentences)
                for row, key in zip(sentences, keys, strict=True):
                    if key and key not in excluded and _is_held_out(key, settings):
                        group = "everyday" if row[2] in EVERYDAY else "other"
                        held_out[group, language].append(row)
            _append(os.path.join(raw, "sentences", f"{language}-eng.tsv"), sentences)
            # The commonest words come first in a file.
            room = settings.dictionary_entries - counts[language]
            counts[language] += len(dictionary[:room])
            _append(os.path.join(raw, "dictionaries", f"{language}-eng.tsv"), dictionary[:room])
    for path in sorted(glob.glob(os.path.join(data, "train-x", "*.tsv.gz"))):
        languages = os.path.basename(path).split(".")[0].split("-")
        # With the language that has less: small ones are then sampled as such.
        smaller = min(languages, key=lambda code: _size(raw, code))
        rows = [
            (a, b, source) if languages[0] == smaller else (b, a, source)
            for a, b, source in read_rows(path)
            if settings.copyleft or all(is_shipped(source, code) for code in languages)
        ]
        _append(os.path.join(raw, "others", f"{smaller}-mul.tsv"), rows)
    return held_out


def _size(raw: str, code: str) -> int:
    path = os.path.join(raw, "sentences", f"{code}-eng.tsv")
    return os.path.getsize(path) if os.path.exists(path) else 0


def _is_held_out(key: str, settings: DataSettings) -> bool:
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64 < settings.development_share


def _write_development(folder: str, held_out: dict[tuple[str, str], list[Row]]) -> Iterator[str]:
    """Writes the development pairs, one translation of a sentence; yields their sentences."""
    for (group, language), rows in held_out.items():
        directory = os.path.join(folder, "development", group)
        os.makedirs(directory, exist_ok=True)
        seen: set[str] = set()
        kept = []
        for source, target, name in rows:
            yield source
            yield target
            keys = set(leakage_keys([source, target]))
            if not keys & seen:
                seen |= keys
                kept.append((source, target, name))
        _append(os.path.join(directory, f"{language}-eng.tsv"), kept)


def read_rows(path: str) -> Iterator[Row]:
    """The rows of a file of three columns.

    Raises:
        ValueError: a line has other columns; the message names file and line.
    """
    for number, line in enumerate(_read_text(path), 1):
        columns = line.split("\t")
        if len(columns) != 3:
            raise ValueError(
                f"{path}:{number}: {len(columns)} columns, but expected 3: sentence, sentence, "
                "source."
            )
        yield columns[0], columns[1], columns[2]


def _read_text(path: str, encoding: str = "utf-8") -> Iterator[str]:
    opened = gzip.open if path.endswith(".gz") else open
    with opened(path, "rt", encoding=encoding, newline="\n") as file:
        for line in file:
            yield line.rstrip("\r\n")


def _append(path: str, rows: Iterable[Row]) -> None:
    text = "".join(f"{source}\t{target}\n" for source, target, _ in rows)
    if text:
        with open(path, "a", encoding="utf-8", newline="\n") as file:
            file.write(text)


def _write_lines(path: str, lines: Iterable[str]) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in dict.fromkeys(lines) if line)
