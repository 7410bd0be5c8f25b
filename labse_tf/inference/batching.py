"""Batches of like length: which rows are embedded together, and how wide they are padded.

A batch is as wide as its longest row, so one sentence of 150 tokens among 64 short ones would
multiply the work of attention, and the memory. Rows are taken by falling length, until the tokens
of a batch are enough or its padding costs more than another batch.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

DEFAULT_BATCH_TOKENS = 4096
# How much padding costs as much as another batch, whose weights pass through the caches once more.
# Measured: 32, 128 and 2,000 sentences at LaBSE's size, with 64 to 1,536. A sixteenth of padding is
# let pass as well, so that large batches are not cut in small ones.
_BATCH_COST = 256


def plan(lengths: np.ndarray, batch_tokens: int) -> Iterator[tuple[slice, int]]:
    """Cuts rows into batches: which rows, and what they are padded to.

    Args:
        lengths: int [rows], falling.
        batch_tokens: the most tokens of a batch, padding included; a row that is longer is a
            batch of its own.
    """
    start = 0
    while start < len(lengths):
        count = _next_batch(lengths[start:], batch_tokens)
        yield slice(start, start + count), int(lengths[start])
        start += count


def _next_batch(lengths: np.ndarray, batch_tokens: int) -> int:
    """How many of the rows are the first batch."""
    width = lengths[0]
    candidates = lengths[: max(1, batch_tokens // width)]
    padding = np.cumsum(width - candidates)
    allowed = np.maximum(_BATCH_COST, width * np.arange(1, len(candidates) + 1) // 16)
    # Once there is too much padding there is too much in all that follow: rows fall in length.
    count = int(np.count_nonzero(padding <= allowed))
    # Few different shapes: for each that occurs oneDNN compiles and keeps the attention's matmuls.
    return count // 32 * 32 if count > 32 else count
