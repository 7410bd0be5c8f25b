"""Filters of translation pairs: which pairs of a block stay.

A filter is a function from a block, a list of (source, target), to as many booleans. Filters that
have a state (`not_seen`, `at_most`) are created once for each language pair.
"""

from __future__ import annotations

import functools
import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from labse_tf.data.duplicates import cleaned, leakage_keys
from labse_tf.data.texts import read_sentences
from labse_tf.tokenization.scripts import scripts_in, scripts_of

Pair = tuple[str, str]
Filter = Callable[[list[Pair]], Iterable[bool]]


def not_empty(pairs: list[Pair]) -> Iterable[bool]:
    return [bool(source and target) for source, target in pairs]


def not_identical(pairs: list[Pair]) -> Iterable[bool]:
    return [source != target for source, target in pairs]


def of_length(shortest: int, longest: int) -> Filter:
    """Both sides have `shortest` to `longest` characters."""
    return lambda pairs: [
        shortest <= len(source) <= longest and shortest <= len(target) <= longest
        for source, target in pairs
    ]


def of_ratio(largest: float, smoothing: float) -> Filter:
    """(longer + smoothing) / (shorter + smoothing) is at most `largest`.

    Lengths are in columns of a terminal: a character of Chinese, Japanese or Korean, which says as
    much as several letters, counts as 2. The smoothing, also in columns, is for short sentences:
    "OK" and "Alright" are translations, though one is 3.5 times as long as the other.
    """

    def keep(pairs: list[Pair]) -> Iterable[bool]:
        lengths = np.array([columns([pair[side] for pair in pairs]) for side in (0, 1)])
        return lengths.max(axis=0) + smoothing <= largest * (lengths.min(axis=0) + smoothing)

    return keep


def of_scripts(scripts: Sequence[set[str] | None], share: float) -> Filter:
    """At least a share of the letters of a side are of its language's scripts.

    A side without letters has no share. It does not pass.

    Args:
        scripts: of the source and of the target; None: any, that side is not looked at.
        share: from 0 to 1.
    """

    def keep(pairs: list[Pair]) -> Iterable[bool]:
        kept = np.ones(len(pairs), bool)
        for side, wanted in enumerate(scripts):
            if wanted is not None:
                kept &= script_shares([pair[side] for pair in pairs], wanted) >= share
        return kept

    return keep


def known_scripts(language: str) -> set[str] | None:
    """The scripts of a language; None if `labse_tf.tokenization.scripts` does not know its code."""
    try:
        return scripts_of(language)
    except ValueError:
        return None


def not_in(keys: frozenset[str] | set[str]) -> Filter:
    """Neither side is, but for case and punctuation, one of the sentences of `leakage_keys`."""
    return lambda pairs: [
        source not in keys and target not in keys
        for source, target in zip(
            leakage_keys(pair[0] for pair in pairs), leakage_keys(pair[1] for pair in pairs)
        )
    ]


def not_seen() -> Filter:
    """No equal pair has passed before. Remembers 16 bytes of hash a pair, about 100 in all."""
    seen: set[bytes] = set()

    def keep(pairs: list[Pair]) -> Iterable[bool]:
        for source, target in pairs:
            digest = _digest(f"{source}\t{target}")
            new = digest not in seen
            seen.add(digest)
            yield new

    return keep


def at_most(per_source: int, per_target: int) -> Filter:
    """So many pairs of one source, and so many of one target; 0: any. Others do not count."""
    limits = [(side, most, {}) for side, most in ((0, per_source), (1, per_target)) if most]

    def keep(pairs: list[Pair]) -> Iterable[bool]:
        for pair in pairs:
            counters = [(most, counts, _digest(pair[side])) for side, most, counts in limits]
            kept = all(counts.get(digest, 0) < most for most, counts, digest in counters)
            if kept:
                for _, counts, digest in counters:
                    counts[digest] = counts.get(digest, 0) + 1
            yield kept

    return keep


def columns(texts: list[str]) -> np.ndarray:
    """Columns of a terminal that each text takes: 2 of a wide character, 1 of any other; int64."""
    return _sums(_column_table()(texts), texts)


def script_shares(texts: list[str], scripts: set[str]) -> np.ndarray:
    """The share of each text's letters that are of some scripts; 0 if it has none."""
    found = _script_table()(texts)
    wanted = np.isin(np.arange(len(_script_ids)), [_script_id(script) for script in scripts])
    letters = _sums(found != _NO_LETTER, texts)
    return _sums(wanted[found], texts) / np.maximum(letters, 1)


def read_leakage_keys(paths: Iterable[str | os.PathLike]) -> set[str]:
    """The keys of all sentences of some files: text, a sentence a line, or both sides of pairs.

    Raises:
        FileNotFoundError, ValueError: a file cannot be read, see `labse_tf.data.texts`.
    """
    keys: set[str] = set()
    for path in paths:
        keys.update(*(leakage_keys([cleaned(text)]) for text in read_sentences(path)))
    return keys - {""}


class _CharacterTable:
    """A number for each character of some texts, looked up in bulk; each is computed once."""

    def __init__(self, value_of: Callable[[str], int]):
        self._value_of = value_of
        self._values = np.full(0x110000, -1, np.int16)

    def __call__(self, texts: list[str]) -> np.ndarray:
        """int16 [characters of all texts]."""
        codes = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32)
        values = self._values[codes]
        if (values < 0).any():
            for code in np.unique(codes[values < 0]).tolist():
                self._values[code] = self._value_of(chr(code))
            values = self._values[codes]
        return values


_script_ids: dict[str, int] = {"": 0}
_NO_LETTER = 0


def _script_id(script: str) -> int:
    return _script_ids.setdefault(script, len(_script_ids))


@functools.cache
def _script_table() -> _CharacterTable:
    return _CharacterTable(lambda character: _script_id(next(iter(scripts_in(character)), "")))


@functools.cache
def _column_table() -> _CharacterTable:
    return _CharacterTable(lambda c: 2 if unicodedata.east_asian_width(c) in ("W", "F") else 1)


def _sums(values: np.ndarray, texts: list[str]) -> np.ndarray:
    """The sum of each text's characters' values, int64 [texts]."""
    ends = np.cumsum([0, *map(len, texts)])
    return np.diff(np.concatenate([[0], np.cumsum(values, dtype=np.int64)])[ends])


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
