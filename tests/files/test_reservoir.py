"""Reservoirs: uniform, of fixed size, and the same however a stream is divided."""

import collections
import itertools

import numpy as np
import pytest

from labse_tf.files.reservoir import DistinctReservoir, Reservoir

TRIALS, LENGTH, SIZE = 3000, 20, 5


def blocks_of(stream, sizes):
    stream = iter(stream)
    for size in itertools.cycle(sizes):
        block = list(itertools.islice(stream, size))
        if not block:
            return
        yield block


def sampled(kind, stream, size, seed, sizes=(7,)):
    reservoir = kind(size, seed)
    for block in blocks_of(stream, sizes):
        reservoir.extend(block)
    return reservoir


@pytest.mark.parametrize("kind", [Reservoir, DistinctReservoir])
def test_every_item_is_equally_likely(kind):
    stream = [str(i) for i in range(LENGTH)]
    counts = collections.Counter()
    for seed in range(TRIALS):
        reservoir = sampled(kind, stream, SIZE, seed)
        assert len(set(reservoir.items)) == len(reservoir.items) == SIZE
        counts.update(reservoir.items)
    # Each item is in a sample with probability 1/4: 750 of 3,000 trials, standard deviation 23.7.
    numbers = np.array([counts[item] for item in stream])
    deviation = (TRIALS * SIZE / LENGTH * (1 - SIZE / LENGTH)) ** 0.5
    assert np.abs(numbers - TRIALS * SIZE / LENGTH).max() < 4 * deviation


@pytest.mark.parametrize("kind", [Reservoir, DistinctReservoir])
def test_blocks_do_not_matter(kind):
    stream = [str(i) for i in range(5000)]
    whole = sampled(kind, stream, 100, 3, [5000])
    for sizes in ([1], [99, 2], [100], [101], [1000, 3]):
        divided = sampled(kind, stream, 100, 3, sizes)
        assert (divided.items, divided.count) == (whole.items, whole.count)
    assert sampled(kind, stream, 100, 4).items != whole.items
    with pytest.raises(ValueError, match=r"`size` \(=0\)"):
        kind(0)


def test_a_short_stream_is_the_sample():
    stream = ["b", "a", "b"]
    assert Reservoir(3).items == []
    reservoir = sampled(Reservoir, stream, 3, 0)
    assert (reservoir.items, reservoir.count) == (stream, 3)
    distinct = sampled(DistinctReservoir, stream, 2, 0)
    assert (sorted(distinct.items), distinct.count) == (["a", "b"], 2)


def test_duplicates_and_order_have_no_influence():
    stream = [f"sentence {i}" for i in range(4000)]
    often = [*stream[::-1], *stream[:3000], *[stream[0]] * 5000]
    once, again = (sampled(DistinctReservoir, s, 1000, 0) for s in (stream, often))
    assert once.items == again.items and once.count == again.count
    # The estimate's standard deviation is 1 / sqrt(1000) = 3% of 4,000.
    assert once.count == pytest.approx(4000, rel=0.1)


def test_a_long_stream_of_few_draws():
    reservoir = sampled(Reservoir, range(2_000_000), 10, 0, [100_000])
    assert reservoir.count == 2_000_000
    assert min(reservoir.items) < 700_000 and max(reservoir.items) > 1_300_000
