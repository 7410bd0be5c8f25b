"""Near-duplicates: sentences that are equal but for case, punctuation, spaces and forms of letters.

They are found by 64 bits of a hash: among 8 billion different sentences two of some pair have the
same (n² / 2^65), and one of them is lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from labse_tf.data.duplicates import leakage_keys

HASH = np.dtype([("hash", "<u8"), ("row", "<u4")])
PLACE = np.dtype([("file", "<u4"), ("row", "<u4")])
NO_KEY = 0  # of sentences without letters and numbers


def hashes_of(sentences: Sequence[str]) -> np.ndarray:
    """uint64 [sentences]; equal for near-duplicates; `NO_KEY` for one without letters and numbers.

    Args:
        sentences: without line feeds.
    """
    keys = leakage_keys(sentences) if len(sentences) else []
    digests = (hashlib.blake2b(key.encode(), digest_size=8).digest() for key in keys)
    hashes = np.frombuffer(b"".join(digests), "<u8").copy()
    hashes[[not key for key in keys]] = NO_KEY
    return hashes


def sorted_by_hash(hashes: np.ndarray) -> np.ndarray:
    """`HASH` [sentences]: hashes and their rows, by hash; of equal ones, by row; without NO_KEY.

    Args:
        hashes: uint64 [sentences].
    """
    rows = np.flatnonzero(hashes != NO_KEY)
    rows = rows[np.argsort(hashes[rows], kind="stable")]
    result = np.empty(len(rows), HASH)
    result["hash"], result["row"] = hashes[rows], rows
    return result


def part_of(hashes: np.ndarray, part: int, parts: int) -> np.ndarray:
    """The slice of `sorted_by_hash` whose hashes are in one of equal parts of all numbers."""
    bounds = [-(-(number << 64) // parts) for number in (part, part + 1)]
    begin = np.searchsorted(hashes["hash"], np.uint64(bounds[0]))
    if bounds[1] == 1 << 64:
        return hashes[begin:]
    return hashes[begin : np.searchsorted(hashes["hash"], np.uint64(bounds[1]))]


def first_places(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Where each hash occurs first.

    Args:
        parts: `HASH` arrays, each sorted by hash, then by row; of file 0, 1...

    Returns:
        `PLACE` [different hashes], by file, then by row.
    """
    hashes = np.concatenate([part["hash"] for part in parts])
    places = np.empty(len(hashes), PLACE)
    places["file"] = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    places["row"] = np.concatenate([part["row"] for part in parts])
    order = np.argsort(hashes, kind="stable")  # files and rows ascend among equal hashes
    ordered = hashes[order]
    first = np.ones(len(hashes), bool)
    first[1:] = ordered[1:] != ordered[:-1]
    kept = np.sort(order[first])
    kept = places[kept]
    return kept[np.lexsort((kept["row"], kept["file"]))]
