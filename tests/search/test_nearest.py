"""Nearest neighbours, against the definition: all products in float64, sorted."""

import numpy as np
import pytest
import tensorflow as tf

from labse_tf.search import nearest as search
from labse_tf.search import rounding
from labse_tf.search.nearest import nearest
from labse_tf.search.rounding import Rounding

PRECISIONS = ["float32", "bfloat16"]


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def clustered(count, dim=48, clusters=40, spread=0.3, seed=0):
    """Unit rows of which many are near to each other, as sentences of one pattern are."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=[clusters, dim])
    return unit(
        centers[rng.integers(clusters, size=count)] + spread * rng.normal(size=[count, dim])
    )


def by_definition(queries, candidates, k):
    """Scores and rows, in float64 rounded to float32; of equal ones the first first."""
    products = (queries.astype(np.float64) @ candidates.astype(np.float64).T).astype(np.float32)
    order = np.argsort(-products, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(products, order, axis=1), order


def check(queries, candidates, k, precision):
    scores, rows = nearest(queries, candidates, k, precision=precision)
    expected_scores, expected_rows = by_definition(queries, candidates, k)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-6)
    assert (scores.dtype, rows.dtype) == (np.float32, np.int64)


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles of which there are many in a test, none of them full but the first."""
    monkeypatch.setattr(search, "QUERIES", 50)
    monkeypatch.setattr(search, "CANDIDATES", 5000)
    monkeypatch.setattr(search, "READ", 700)
    monkeypatch.setattr(rounding, "READ", 700)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("count,k", [(1, 1), (20, 20), (300, 1), (6000, 4), (12_345, 7)])
def test_nearest_is_the_definition(precision, count, k, small_tiles):
    check(clustered(120, seed=1), clustered(count), k, precision)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_rows_that_are_not_of_unit_length_and_scores_below_zero(precision, small_tiles):
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.normal(size=[9000, 1]))
    candidates = (-np.abs(clustered(9000)) * lengths).astype(np.float32)
    queries = (np.abs(clustered(70, seed=1)) * 30).astype(np.float32)
    assert (by_definition(queries, candidates, 1)[0] < 0).all()
    check(queries, candidates, 3, precision)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_duplicates_come_in_their_order(precision, small_tiles):
    distinct = clustered(400)
    candidates = distinct[np.random.default_rng(0).integers(400, size=8000)]  # 20 of each
    queries = distinct[:100]
    scores, rows = nearest(queries, candidates, 5, precision=precision)
    for query, score, found in zip(queries, scores, rows):
        equal = np.flatnonzero((candidates == query).all(axis=1))
        np.testing.assert_array_equal(found, equal[:5])
        np.testing.assert_allclose(score, 1, atol=1e-6)


def test_what_bfloat16_cannot_tell_apart_is_searched_for_in_float32(monkeypatch):
    # 600 candidates within 0.002 of each other: half a unit of bfloat16's last place at 1.
    rng = np.random.default_rng(0)
    query = unit(rng.normal(size=[8, 64]))
    near = unit(query[:, None] * 30 + rng.normal(size=[8, 600, 64]) * 0.01).reshape(-1, 64)
    candidates = np.concatenate([near, clustered(9000, dim=64)])
    rounded = tf.matmul(*(tf.cast(x, tf.bfloat16) for x in (query, candidates)), transpose_b=True)
    # In bfloat16 the best is not among the first 16.
    assert (tf.argsort(-tf.cast(rounded, tf.float32))[:, :16].numpy() != 0).any()
    searched = []
    kept = search._kept

    def spy(queries, candidates, count, rounds, best):
        searched.append((rounds.dtype, best is search._best))
        return kept(queries, candidates, count, rounds, best)

    monkeypatch.setattr(search, "_kept", spy)
    check(query, candidates, 4, "bfloat16")
    assert searched == [(tf.bfloat16, False), (tf.float32, True)]


@pytest.mark.parametrize("dim", [16, 768])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_bound_holds(dim, precision):
    queries, candidates = clustered(100, dim), clustered(3000, dim, seed=1)
    rounds = Rounding(precision)
    tile = tf.matmul(rounds.queries(queries), rounds.candidates(candidates), transpose_b=True)
    tile = tf.cast(tile, tf.float32).numpy()
    exact = queries.astype(np.float64) @ candidates.T.astype(np.float64)
    bounds = np.stack([rounds.upper_bounds(column, queries) for column in tile.T], axis=1)
    assert (exact <= bounds).all()
    if precision == "bfloat16" and dim == 16:  # and it is not far off
        assert (exact - tile).max() > 0.2 * (bounds - tile).max()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_rows_in_float16(precision, small_tiles):
    """As `labse encode --dtype float16` writes them."""
    queries, candidates = (clustered(n, seed=n).astype(np.float16) for n in (60, 7000))
    check(queries, candidates, 3, precision)
    check(queries.astype(np.float32), candidates, 3, precision)


def test_memory_maps(tmp_path, small_tiles):
    queries, candidates = clustered(60, seed=1), clustered(7000)
    np.save(tmp_path / "q.npy", queries)
    np.save(tmp_path / "c.npy", candidates)
    maps = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "qc")
    np.testing.assert_array_equal(nearest(*maps, 3)[1], by_definition(queries, candidates, 3)[1])


def test_bad_input():
    rows = clustered(10)
    with pytest.raises(ValueError, match=r"`precision` \(='int8'\) must be one of"):
        nearest(rows, rows, precision="int8")
    with pytest.raises(ValueError, match=r"`queries` must be float32 .* float64 \[10, 48\]"):
        nearest(rows.astype(np.float64), rows)
    with pytest.raises(ValueError, match=r"`candidates` must be float32 .* \[48\]"):
        nearest(rows, rows[0])
    with pytest.raises(ValueError, match=r"\[10, 48\].*\[10, 47\] must be of the same dim"):
        nearest(rows, rows[:, 1:])
    for k in (0, 11):
        with pytest.raises(ValueError, match=rf"`k` \(={k}\) must be from 1 to the 10"):
            nearest(rows, rows, k)
    for value in (np.nan, np.inf):
        broken = rows.copy()
        broken[7, 3] = value
        with pytest.raises(ValueError, match="Row 7 of `candidates` holds NaN or infinity"):
            nearest(rows, broken)
        with pytest.raises(ValueError, match="Row 7 of `queries` holds NaN or infinity"):
            nearest(broken, rows)


def test_no_queries():
    scores, rows = nearest(np.empty([0, 48], np.float32), clustered(5), 2)
    assert (scores.shape, rows.shape) == ((0, 2), (0, 2))


def test_the_bound_knows_that_a_result_is_rounded():
    # Numbers that bfloat16 has, 1 to 2 in steps of 1/128, so that only products are rounded.
    numbers = (1 + np.arange(128)[:, None] / 128).astype(np.float32)
    rounds = Rounding("bfloat16")
    tile = tf.matmul(rounds.queries(numbers), rounds.candidates(numbers), transpose_b=True)
    tile, exact = tf.cast(tile, tf.float32).numpy(), numbers * numbers.T
    assert (exact - tile).max() > 2.0**-8
    bounds = np.stack([rounds.upper_bounds(column, numbers) for column in tile.T], axis=1)
    assert (exact <= bounds).all() and (bounds - tile).max() < 2.0**-6
