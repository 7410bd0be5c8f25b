"""Which sentences are duplicates of each other: by 16 bytes of hash each, sorted."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable

import numpy as np

from labse_tf.files.hashes import digests


def cleaned(text: str, nfc: bool = True) -> str:
    """White space as single spaces, none at the ends; Unicode in its composed form, NFC."""
    text = " ".join(text.split())
    return unicodedata.normalize("NFC", text) if nfc else text


def leakage_keys(sentences: Iterable[str]) -> list[str]:
    """What is compared with test sentences: NFKC, case folded; letters, marks and numbers only.

    Sentences must not hold line feeds. One without letters and numbers has the key "".
    """
    # All at once: a call a sentence costs more than the sentence.
    text = unicodedata.normalize("NFKC", "\n".join(sentences)).casefold()
    return text.translate(_KeyCharacters.instance()).split("\n")


def duplicate_keys(texts: list[str], how: str = "equal") -> list[str]:
    """Return a key of each text, which is the same for duplicates.

    Args:
        texts: Texts without line feeds.
        how: "equal" ignores white space and Unicode's composition. "loose" also ignores case,
            punctuation and spaces, except in texts without letters and numbers.
    """
    plain = [cleaned(text) for text in texts]
    return (
        [key or text for key, text in zip(leakage_keys(plain), plain)] if how == "loose" else plain
    )


def duplicate_hashes(texts: list[str], how: str = "equal") -> np.ndarray:
    """Return the hash of each text's key, uint64 [texts, 2]; for arguments see `duplicate_keys`."""
    return digests(duplicate_keys(texts, how))


def group_duplicates(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Group equal hashes; groups are numbered in the order of their first members.

    Args:
        hashes: uint64 [n, 2].

    Returns:
        The group of each hash, int64 [n], and the first member of each group, int64 [groups].
    """
    order = np.lexsort(hashes.T)  # stable: of equal ones the first comes first
    new = np.ones(len(hashes), bool)
    new[1:] = (hashes[order[1:]] != hashes[order[:-1]]).any(axis=1)
    firsts = order[new]
    by_first = np.argsort(firsts)
    numbers = np.empty(len(firsts), np.int64)
    numbers[by_first] = np.arange(len(firsts))
    groups = np.empty(len(hashes), np.int64)
    groups[order] = numbers[np.cumsum(new) - 1]
    return groups, firsts[by_first]


class _KeyCharacters(dict):
    """For str.translate: characters of a key stay, others go; each is looked up once."""

    @classmethod
    @functools.cache
    def instance(cls) -> _KeyCharacters:
        return cls({ord("\n"): "\n"})

    def __missing__(self, code: int) -> int | None:
        self[code] = code if unicodedata.category(chr(code))[0] in "LMN" else None
        return self[code]
