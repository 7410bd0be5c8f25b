"""Half B of the Tatoeba pairs of a language, torn apart: what is mined, and the truth about it.

FOLDER/sources.txt, targets.txt   the sentences of both sides, shuffled apart
FOLDER/true.tsv                   the pairs whose both sides are there
FOLDER/held_out.txt               what the encoder that mines must not have seen
FOLDER/test.tsv                   the pairs that translations are scored on
FOLDER/pieces.model               sentence pieces of both sides
FOLDER/counts.json
"""

from __future__ import annotations

import json
import os

import numpy as np
import sentencepiece

from labse_tf.data.duplicates import cleaned, leakage_keys
from labse_tf.files.atomic import atomic_directory
from training.labse_mini.data import read_rows, test_sentences
from training.labse_mini.sources import DICTIONARY

TATOEBA = "tatoeba"
ORPHANS = 0.2  # of the sentences of a side: their partners are removed, and as many are added
TESTS = {"deu": "de", "cmn": "zh", "fra": "fr"}  # as eval/nmt names them
TO_LANGUAGE, TO_ENGLISH = "<to-language>", "<to-english>"
Pair = tuple[str, str]


def check_corpora(data: str, languages: list[str]) -> None:
    """Raises FileNotFoundError or ValueError before hours of work, if something is missing."""
    for language in languages:
        if language not in TESTS:
            raise ValueError(f"There is no translation test of {language!r}, only of {[*TESTS]}.")
        for path in (_pairs_file(data, "train", language), _test_file(data, language)):
            if not os.path.exists(path):
                raise FileNotFoundError(f"{path!r} is not there.")


def tear(data: str, language: str, share: float, folder: str, vocab_size: int, seed: int) -> None:
    """Writes the directory of a language, whole or not at all.

    Of half B each sentence is in one pair only, so that the truth is one to one. Its pairs are
    divided into five parts: one keeps its sources only, one its targets only. To each side, as
    many sentences are added that have no partner: of pairs from other sources than Tatoeba, other
    pairs for each side.

    Args:
        data: directory of train/, train2/ and eval/.
        language: ISO 639-3.
        share: of the Tatoeba pairs, which is half B.
        folder: to write.
        vocab_size: of the sentence pieces; fewer if the text has not so many.
        seed: of the division and the order.
    """
    rng = np.random.default_rng(seed)
    pairs, others = _read(data, language)
    half = _one_to_one([pairs[i] for i in rng.permutation(len(pairs))])
    half = half[: round(share * len(half))]
    count = round(ORPHANS * len(half))
    taken = {key for pair in half for key in leakage_keys(pair)}
    others = [pair for pair in _one_to_one(others) if not taken & set(leakage_keys(pair))]
    others = [others[i] for i in rng.permutation(len(others))[: 2 * count]]
    if len(others) < 2 * count:
        raise ValueError(
            f"{language}: {len(others)} unrelated sentences, but {2 * count} are needed for "
            f"{len(half)} pairs."
        )
    sources = [pair[0] for pair in (*half[: len(half) - count], *others[:count])]
    targets = [pair[1] for pair in (*half[count:], *others[count:])]
    true = half[count : len(half) - count]
    with atomic_directory(folder) as unfinished:
        for name, side in (("sources.txt", sources), ("targets.txt", targets)):
            order = rng.permutation(len(side))
            _write(os.path.join(unfinished, name), (side[i] for i in order))
        write_pairs(os.path.join(unfinished, "true.tsv"), true)
        held_out = (sentence for pair in (*half, *others) for sentence in pair)
        _write(os.path.join(unfinished, "held_out.txt"), held_out)
        test = list(read_pairs(_test_file(data, language)))
        write_pairs(os.path.join(unfinished, "test.tsv"), test)
        _learn_pieces(sources + targets, os.path.join(unfinished, "pieces"), vocab_size)
        counts = {
            "tatoeba": len(pairs),
            "half_b": len(half),
            "sources": len(sources),
            "targets": len(targets),
            "true": len(true),
            "test": len(test),
        }
        with open(os.path.join(unfinished, "counts.json"), "w", encoding="utf-8") as file:
            json.dump(counts, file)


def read_pairs(path: str) -> list[Pair]:
    """The pairs of a file of two columns."""
    with open(path, encoding="utf-8", newline="\n") as file:
        return [tuple(line.rstrip("\n").split("\t")) for line in file]


def write_pairs(path: str, pairs: list[Pair]) -> None:
    """Writes a file of two columns."""
    _write(path, (f"{source}\t{target}" for source, target in pairs))


def read_lines(path: str) -> list[str]:
    """The lines of a file, without their ends."""
    with open(path, encoding="utf-8", newline="\n") as file:
        return [line.rstrip("\n") for line in file]


def _read(data: str, language: str) -> tuple[list[Pair], list[Pair]]:
    """The pairs from Tatoeba, and sentence pairs from elsewhere; none has a test's sentence."""
    excluded = set(leakage_keys(test_sentences(data)))
    tatoeba, others = [], []
    for folder in ("train", "train2"):
        path = _pairs_file(data, folder, language)
        for *pair, source in read_rows(path) if os.path.exists(path) else ():
            pair = tuple(map(cleaned, pair))
            if all(pair) and not excluded & set(leakage_keys(pair)):
                if source == TATOEBA:
                    tatoeba.append(pair)
                elif not source.startswith((DICTIONARY, TATOEBA)):
                    others.append(pair)
    return tatoeba, others


def _one_to_one(pairs: list[Pair]) -> list[Pair]:
    """The first pair of each sentence, of either side."""
    seen: set[str] = set()
    kept = []
    for pair in pairs:
        keys = leakage_keys(pair)
        if all(keys) and not seen & set(keys):
            seen.update(keys)
            kept.append(pair)
    return kept


def _learn_pieces(sentences: list[str], prefix: str, vocab_size: int) -> None:
    """Padding, which also starts a sentence to decode, is piece 0; the end is piece 1."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_prefix=prefix,
        vocab_size=vocab_size,
        hard_vocab_limit=False,
        character_coverage=0.9998,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        user_defined_symbols=[TO_LANGUAGE, TO_ENGLISH],
        minloglevel=2,
    )


def _pairs_file(data: str, folder: str, language: str) -> str:
    return os.path.join(data, folder, f"{language}-eng.tsv.gz")


def _test_file(data: str, language: str) -> str:
    return os.path.join(data, "eval", "nmt", f"tatoeba_{TESTS[language]}-en.test.tsv")


def _write(path: str, lines) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)
