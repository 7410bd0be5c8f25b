"""Hashes of texts, by which equal ones are found without keeping them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np


def digests(texts: Iterable[str | bytes]) -> np.ndarray:
    """16 bytes of BLAKE2b of each text, uint64 [texts, 2]. A string is hashed in UTF-8.

    Texts of equal hashes can be taken for equal: by chance two others never have the same, and
    nobody can construct them.
    """
    encoded = (text.encode() if isinstance(text, str) else text for text in texts)
    joined = b"".join(hashlib.blake2b(text, digest_size=16).digest() for text in encoded)
    return np.frombuffer(joined, np.uint64).reshape(-1, 2)
