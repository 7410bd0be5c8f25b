"""Neighbours of both sides from one scoring, against the definition and `nearest` twice."""

import numpy as np
import pytest

from labse_tf.search import blocks, both_directions
from labse_tf.search.both_directions import nearest_both_ways
from labse_tf.search.nearest import nearest
from labse_tf.search.state import SearchState
from tests.search.test_nearest import by_definition, clustered, unit

PRECISIONS = ["float32", "bfloat16"]


def check(sources, targets, k, precision, **options):
    found = nearest_both_ways(sources, targets, k, precision=precision, **options)
    for scores, rows, sides in (
        (found.target_scores, found.targets, (sources, targets)),
        (found.source_scores, found.sources, (targets, sources)),
    ):
        expected = by_definition(*sides, min(k, len(sides[1])))
        np.testing.assert_array_equal(rows, expected[1])
        np.testing.assert_allclose(scores, expected[0], atol=1e-6)
        assert (scores.dtype, rows.dtype) == (np.float32, np.int64)


@pytest.fixture
def small_tiles(monkeypatch):
    """Several tiles, of which the last are not full."""
    monkeypatch.setattr(both_directions, "SOURCES", 64)
    monkeypatch.setattr(both_directions, "_TILES", 3)
    monkeypatch.setattr(blocks, "_BYTES", 30_000)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "sizes, k", [((1, 1), 4), ((3, 40), 4), ((700, 30), 1), ((1001, 4700), 4), ((130, 4096), 20)]
)
def test_it_is_the_definition(precision, sizes, k, small_tiles):
    sources, targets = clustered(sizes[0], seed=1), clustered(sizes[1])
    check(sources, targets, k, precision, targets_at_once=4608)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_it_is_nearest_twice(precision, small_tiles):
    sources, targets = (clustered(n, seed=n).astype(np.float16) for n in (900, 5000))
    found = nearest_both_ways(sources, targets, 3, precision=precision)
    for got, expected in (
        ((found.target_scores, found.targets), nearest(sources, targets, 3)),
        ((found.source_scores, found.sources), nearest(targets, sources, 3)),
    ):
        np.testing.assert_array_equal(got[1], expected[1])
        np.testing.assert_allclose(got[0], expected[0], atol=2e-7)


def test_duplicates_come_in_their_order(small_tiles):
    distinct = clustered(60)
    rng = np.random.default_rng(0)
    check(distinct[rng.integers(60, size=500)], distinct[rng.integers(60, size=400)], 3, "bfloat16")


def test_what_bfloat16_cannot_tell_apart_is_searched_for_again(monkeypatch, small_tiles):
    # 600 rows of which many are as near to each other as bfloat16's last place at 1, 0.004.
    rng = np.random.default_rng(0)
    center = rng.normal(size=[1, 64])
    near = [unit(center * 30 + rng.normal(size=[600, 64])) for _ in range(2)]
    searched = []
    again = both_directions.search_again

    def spy(queries, candidates, k):
        searched.append(len(queries))
        return again(queries, candidates, k)

    monkeypatch.setattr(both_directions, "search_again", spy)
    check(*near, 4, "bfloat16")
    assert len(searched) == 2 and min(searched) > 100
    searched.clear()
    rows = unit(rng.normal(size=[600, 64]))  # and not where all are far from each other
    check(rows, rows[::-1].copy(), 1, "bfloat16")
    assert sum(searched) < 60


def test_progress_counts_all_products(small_tiles):
    counts = []
    nearest_both_ways(clustered(320), clustered(900, seed=1), 2, progress=counts.append)
    assert sum(counts) == 320 * 900


def test_memory_maps(tmp_path, small_tiles):
    sources, targets = clustered(60, seed=1), clustered(700)
    np.save(tmp_path / "s.npy", sources)
    np.save(tmp_path / "t.npy", targets)
    maps = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "st")
    check(*maps, 3, "float32")


def test_bad_input():
    rows = clustered(10)
    with pytest.raises(ValueError, match="no rows on one side"):
        nearest_both_ways(rows, rows[:0], 1)
    with pytest.raises(ValueError, match=r"`sources` \[10, 48\] and `targets` \[10, 47\] must be"):
        nearest_both_ways(rows, rows[:, 1:], 1)
    with pytest.raises(ValueError, match=r"`k` \(=0\) must be at least 1"):
        nearest_both_ways(rows, rows, 0)
    broken = rows.copy()
    broken[7, 3] = np.nan
    with pytest.raises(ValueError, match="Row 7 of `targets` holds NaN or infinity"):
        nearest_both_ways(rows, broken, 1)


def test_it_goes_on_where_it_was_cut_off(tmp_path, small_tiles):
    sources, targets = clustered(300), clustered(2000, seed=1)
    counts = []

    def stop(count):
        counts.append(count)
        if len(counts) == 12:
            raise KeyboardInterrupt

    options = {"precision": "bfloat16", "targets_at_once": 512}
    with pytest.raises(KeyboardInterrupt):
        nearest_both_ways(
            sources, targets, 3, progress=stop, state=SearchState(tmp_path / "s.npz", 0), **options
        )
    later = []
    state = SearchState(tmp_path / "s.npz")
    check(sources, targets, 3, progress=later.append, state=state, **options)
    assert later[0] == 300 * 1024 and sum(later) == 300 * 2000
