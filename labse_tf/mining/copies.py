"""Which sentences are copies of each other: by 16 bytes of hash a sentence, sorted."""

from __future__ import annotations

import numpy as np

from labse_tf.preparation.filters import cleaned, leakage_keys


def keys(texts: list[str], how: str) -> list[str]:
    """What is the same of sentences that count as equal.

    Args:
        texts: without line feeds.
        how: "equal", but for white space and Unicode's composition; "loose", but for case,
            punctuation and spaces too; where there are no letters and numbers, as "equal".
    """
    plain = [cleaned(text) for text in texts]
    return (
        [key or text for key, text in zip(leakage_keys(plain), plain)] if how == "loose" else plain
    )


def groups(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Groups of equal hashes, numbered in the order of their first members.

    Args:
        hashes: uint64 [n, 2].

    Returns:
        The group of each, int64 [n], and the first member of each group, int64 [groups].
    """
    order = np.lexsort(hashes.T)  # stable: of equal ones the first comes first
    new = np.ones(len(hashes), bool)
    new[1:] = (hashes[order[1:]] != hashes[order[:-1]]).any(axis=1)
    firsts = order[new]
    by_first = np.argsort(firsts)
    numbers = np.empty(len(firsts), np.int64)
    numbers[by_first] = np.arange(len(firsts))
    of = np.empty(len(hashes), np.int64)
    of[order] = numbers[np.cumsum(new) - 1]
    return of, firsts[by_first]
