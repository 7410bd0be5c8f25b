"""A sample of pairs, taken while they are counted."""

from __future__ import annotations

from collections.abc import Iterable

SAMPLE = 2000  # pairs of all files whose length is looked at


def count_and_sample(
    blocks: Iterable[list[tuple[str, ...]]], sample_size: int
) -> tuple[int, list[tuple[str, ...]]]:
    """The number of pairs in blocks, and some of them.

    The sample is from all over: up to twice `sample_size`, and all if there are fewer.
    """
    count, step, sample = 0, 1, []
    for block in blocks:
        sample += block[-count % step :: step]
        count += len(block)
        while len(sample) > 2 * sample_size:
            sample, step = sample[::2], 2 * step
    return count, sample
