"""The pieces of inverted lists, against NumPy's definitions."""

import numpy as np
import pytest

from labse_tf.search import inverted_lists
from labse_tf.search.inverted_lists import assign, group_by_list, search_list, train_centroids
from labse_tf.search.neighbours import NO_ROW, merge_top_k, none_yet
from tests.search.test_nearest import by_definition, clustered, unit


def test_centroids_are_those_of_the_clusters():
    centers = unit(np.random.default_rng(1).normal(size=[5, 48]))
    rows = unit(np.repeat(centers, 40, axis=0) + 0.02 * clustered(200))
    # However it begins, a list is a cluster, or a part of one, where it lies.
    found = train_centroids(rows, 5, seed=3, iterations=20)
    np.testing.assert_array_equal(found, train_centroids(rows, 5, seed=3, iterations=20))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert (centers @ found.T).max(axis=0).min() > 0.99
    own = (rows @ found.T).argmax(axis=1)
    means = np.stack([rows[own == i].mean(axis=0) for i in range(5)])
    np.testing.assert_allclose(found, unit(means), atol=1e-5)


def test_a_list_that_nothing_is_near_to_begins_anew():
    rows = np.concatenate([np.repeat(unit(np.eye(4, 8)), 25, axis=0), clustered(20, dim=8)])
    found = train_centroids(rows, 20, seed=0, iterations=3)  # 24 distinct rows
    assert found.shape == (20, 8) and np.isfinite(found).all()
    with pytest.raises(ValueError, match=r"`lists` \(=121\) must be from 1 to the 120 rows"):
        train_centroids(rows, 121)


def test_more_lists_than_distinct_rows():
    rows = np.repeat(clustered(10, dim=8), 12, axis=0)
    for lists in (10, 40, 120):
        found = train_centroids(rows, lists, seed=0, iterations=3)
        np.testing.assert_array_equal(found, rows[::12])


def test_more_empty_lists_than_others():
    """Rows that differ, but of which nearly all are near to the same few centroids."""
    rows = unit(np.repeat(np.eye(3, 8), 40, axis=0) + 1e-7 * clustered(120, dim=8))
    found = train_centroids(rows, 60, seed=0, iterations=3)
    assert found.shape == (60, 8) and np.isfinite(found).all()


def test_assign_and_group(monkeypatch):
    monkeypatch.setattr(inverted_lists, "_READ", 70)
    rows, centroids = clustered(200), clustered(12, seed=1)
    assigned = assign(rows.astype(np.float16), centroids, 3)
    expected = np.argsort(-rows.astype(np.float16).astype(np.float32) @ centroids.T, axis=1)
    np.testing.assert_array_equal(assigned, expected[:, :3])
    assert assigned.dtype == np.int32
    assert assign(rows, centroids, 20).shape == (200, 12)
    members, starts = group_by_list(assigned, 12)
    for i in range(12):
        own = members[starts[i] : starts[i + 1]]
        np.testing.assert_array_equal(own, np.flatnonzero((assigned == i).any(axis=1)))


@pytest.mark.parametrize("sizes", [(1, 1), (300, 17), (5, 400), (333, 290)])
def test_one_list_is_the_definition(sizes, monkeypatch):
    monkeypatch.setattr(inverted_lists, "LIST_ROWS", 120)
    monkeypatch.setattr(inverted_lists, "_FEW", 20)
    sources, targets = clustered(sizes[0]), clustered(sizes[1], seed=1)
    found = search_list(sources, targets, 6)
    for scores, rows, sides in (
        (found.target_scores, found.targets, (sources, targets)),
        (found.source_scores, found.sources, (targets, sources)),
    ):
        k = min(6, len(sides[1]))
        expected = by_definition(*sides, k)
        np.testing.assert_allclose(scores[:, :k], expected[0], atol=1e-6)
        np.testing.assert_array_equal(rows[:, :k], expected[1])
        assert (rows[:, k:] == NO_ROW).all() and (scores[:, k:] == -np.inf).all()


def test_bfloat16_finds_nearly_the_same():
    sources, targets = clustered(300), clustered(400, seed=1)
    found = search_list(sources, targets, 16, "bfloat16")
    best = by_definition(sources, targets, 1)[1]
    assert (found.targets == best).any(axis=1).all()
    with pytest.raises(ValueError, match=r"`precision` \(='int8'\)"):
        search_list(sources, targets, 1, "int8")


def test_an_empty_list():
    rows = clustered(7)
    found = search_list(rows, rows[:0], 2)
    assert found.targets.tolist() == [[NO_ROW, NO_ROW]] * 7 and found.sources.shape == (0, 2)


def test_merging_in_any_order_is_sorting_all():
    rng = np.random.default_rng(0)
    # Products in steps of 0.1, so that many are equal.
    products = np.round(rng.random([30, 50]), 1).astype(np.float32)
    order = np.argsort(-products, axis=1, kind="stable")[:, :5]
    parts = [np.sort(rng.permutation(50)[:20]) for _ in range(12)]
    seen = np.unique(np.concatenate(parts))
    assert len(seen) == 50
    results = []
    for turn in (parts, parts[::-1]):
        best = none_yet(30, 5)
        for part in turn:
            # As many of a part as are asked for at least: of equal ones its first.
            own = np.argsort(-products[:, part], axis=1, kind="stable")[:, :5]
            best = merge_top_k(*best, np.take_along_axis(products[:, part], own, 1), part[own])
        results.append(best)
    for scores, rows in results:
        np.testing.assert_array_equal(rows, order)
        np.testing.assert_array_equal(scores, np.take_along_axis(products, order, axis=1))
    scores, rows = merge_top_k(*none_yet(1, 3), np.float32([[0.5]]), np.array([[4]]))
    assert rows.tolist() == [[4, NO_ROW, NO_ROW]] and scores[0, 0] == 0.5
    again = merge_top_k(scores, rows, np.float32([[0.75]]), np.array([[4]]))
    assert again[0].tolist() == [[0.75, -np.inf, -np.inf]]
    assert again[1].tolist() == [[4, NO_ROW, NO_ROW]]
