"""The steps of arrays against brute force in NumPy."""

import numpy as np
import pytest

from labse_tf.crawl.steps.edges import (
    Edges,
    as_matrix,
    best_edges,
    of_shard,
    owners_by_shard,
)
from labse_tf.crawl.steps.eight_bits import as_floats, from_eight_bits, to_eight_bits
from labse_tf.crawl.steps.lists import (
    Cells,
    Group,
    ListedRows,
    by_list,
    lists_for,
    plan_groups,
    search_group,
)
from labse_tf.crawl.steps.matching import (
    PAIR,
    best_partners,
    mean_scores,
    neighbours_dtype,
    one_to_one,
    ranked,
)
from labse_tf.search.margins import MARGINS, Alignment, align
from labse_tf.search.nearest import nearest


def unit(rng, rows, dim=16):
    x = rng.normal(size=(rows, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_eight_bits():
    rng = np.random.default_rng(0)
    rows = unit(rng, 50)
    rows[3] = 0
    kept = to_eight_bits(rows)
    largest = np.abs(rows).max(axis=1)
    assert np.all(np.abs(from_eight_bits(kept) - rows) <= largest[:, None] / 254 + 1e-7)
    assert np.all(np.abs(kept["values"]).max(axis=1)[largest > 0] == 127)
    assert as_floats(rows) is rows and np.array_equal(as_floats(kept), from_eight_bits(kept))
    half = to_eight_bits(rows.astype(np.float16))
    assert half.dtype.itemsize == 16 + 4 and np.isfinite(from_eight_bits(half)).all()


@pytest.mark.parametrize("owners, others", [(9, 40), (2**40, 2**31), (2**40, 2**40), (1, 1)])
def test_best_edges_of_any_numbers(owners, others):
    """Also of rows of a crawl of billions, whose numbers do not fit into 64 bits together."""
    rng = np.random.default_rng(2)
    scores = rng.choice(np.array([-0.5, -0.25, -0.0, 0.0, 0.25, 3], np.float32), 400)
    edges = Edges(
        rng.choice(rng.integers(0, owners, 6), 400) + 7, rng.integers(0, others, 400), scores
    )
    best = {}
    for owner, other, score in zip(edges.owners, edges.others, edges.scores.tolist()):
        best[owner, other] = max(score, best.get((owner, other), -np.inf))
    ranked = sorted((owner, -score, other) for (owner, other), score in best.items())
    expected = [(owner, other, -score) for owner, score, other in ranked]
    assert best_edges(edges, 400).to_array().tolist() == expected


@pytest.mark.parametrize("keep", [1, 3, 50])
def test_best_edges(keep):
    rng = np.random.default_rng(1)
    edges = Edges(
        rng.integers(10, 15, 200), rng.integers(0, 30, 200), rng.integers(0, 9, 200).astype("f4")
    )
    best = {}
    for owner, other, score in zip(edges.owners, edges.others, edges.scores):
        best[owner, other] = max(score, best.get((owner, other), -np.inf))
    expected = []
    for owner in range(10, 15):
        mine = sorted((-s, other) for (o, other), s in best.items() if o == owner)
        expected += [(owner, other, -score) for score, other in mine[:keep]]
    found = best_edges(edges, keep)
    assert found.to_array().tolist() == expected
    order = rng.permutation(200)
    again = best_edges(Edges(edges.owners[order], edges.others[order], edges.scores[order]), keep)
    assert np.array_equal(again.to_array(), found.to_array())
    matrix = as_matrix(found, 10, 6, keep)
    for owner in range(10, 15):
        others = [other for o, other, _ in expected if o == owner]
        assert matrix[owner - 10].tolist() == others + [-1] * (keep - len(others))
    assert (matrix[5] == -1).all()
    begins, array = owners_by_shard(found.owners, 4), found.to_array()
    for shard in range(6):
        inside = array[array["owner"] // 4 == shard]
        assert np.array_equal(of_shard(array, begins, shard), inside)


def test_no_edges():
    none = Edges.joined([])
    assert len(best_edges(none, 3).to_array()) == 0
    assert owners_by_shard(none.owners, 4).shape == (0, 2)
    assert len(of_shard(none.to_array(), owners_by_shard(none.owners, 4), 0)) == 0
    assert (as_matrix(none, 0, 2, 3) == -1).all()


def test_plan_groups_covers_every_pair_of_rows_once():
    rng = np.random.default_rng(2)
    own, others = rng.integers(0, 40, 30), rng.integers(0, 40, 30)
    own[7], others[9], own[11:13] = 300, 500, 0
    groups = plan_groups(own, others, 100)
    seen = [np.zeros((a, b), int) for a, b in zip(own, others)]
    for group in groups:
        size = 0
        for number in range(group.first, group.last):
            cuts = []
            for side, (i, n) in ((own, group.source_part), (others, group.target_part)):
                cuts.append(slice(side[number] * i // n, side[number] * (i + 1) // n))
            block = seen[number][cuts[0], cuts[1]]
            block += 1
            size += sum(block.shape)
        assert size <= 100
    assert all((block == 1).all() for block in seen)
    assert Group(0, 3) == plan_groups(np.array([3, 4, 5]), np.array([1, 1, 1]), 100)[0]


def listed(rows, cells, count, shards, lists):
    """Rows cut into shards, in lists, and joined again, as the stages do."""
    size = -(-len(rows) // shards)
    parts = []
    for shard in range(shards):
        part = rows[shard * size : (shard + 1) * size]
        array, starts = by_list(part, cells.assign(part, count), lists)
        assert starts[-1] == len(part) * min(count, lists)
        parts.append(
            ListedRows(
                array["row"].astype(np.int64) + shard * size,
                np.repeat(np.arange(lists, dtype=np.int32), np.diff(starts)),
                array,
            )
        )
    return ListedRows.joined(parts)


@pytest.mark.parametrize("lists, counts", [(1, (1, 1)), (6, (2, 3)), (6, (6, 6))])
def test_search_within_lists(lists, counts):
    rng = np.random.default_rng(3)
    x, y = unit(rng, 90), unit(rng, 70)
    cells = Cells.train(np.concatenate([x, y]), lists, 0)
    sides = [listed(s, cells, c, 3, lists) for s, c in zip((x, y), counts)]
    found = [edges.to_array() for edges in search_group(*sides, 5, "float32")]
    of_lists = [cells.assign(s, c) for s, c in zip((x, y), counts)]
    together = (of_lists[0][:, None, :, None] == of_lists[1][None, :, None, :]).any(axis=(2, 3))
    products = from_eight_bits(to_eight_bits(x)) @ from_eight_bits(to_eight_bits(y)).T
    for edges, scores in ((found[0], products), (found[1], products.T)):
        allowed = together if scores is products else together.T
        scores = np.where(allowed, scores, -np.inf)
        expected = [
            (row, other)
            for row in range(len(scores))
            for other in np.argsort(-scores[row])[:5]
            if np.isfinite(scores[row, other])
        ]
        assert [(e["owner"], e["other"]) for e in edges] == expected
        np.testing.assert_allclose(edges["score"], [scores[e] for e in expected], atol=1e-6)


def test_two_levels_find_nearly_all_lists(monkeypatch):
    monkeypatch.setattr("labse_tf.crawl.steps.lists._ONE_LEVEL", 60)
    rng = np.random.default_rng(4)
    rows = unit(rng, 600, 8)
    cells = Cells.train(rows, 144, 0)
    assert cells.cells.shape == (12, 8)
    found, exact = cells.assign(rows, 4), Cells(cells.centroids).assign(rows, 4)
    np.testing.assert_array_equal(found, exact)  # all 12 cells are among a row's 16
    monkeypatch.setattr("labse_tf.crawl.steps.lists._CELLS_OF_A_ROW", 4)
    found = cells.assign(rows, 4)
    share = np.mean([len({*a} & {*b}) for a, b in zip(found.tolist(), exact.tolist())]) / 4
    assert 0.8 < share < 1 and all(len({*row}) == 4 for row in found.tolist())
    monkeypatch.setattr("labse_tf.crawl.steps.lists._CELLS_OF_A_ROW", 1)
    assert all(len({*row}) == 40 and min(row) >= 0 for row in cells.assign(rows, 40).tolist())


def test_number_of_lists():
    assert lists_for(1000) == 1 and lists_for(100_000) == 512
    assert lists_for(560_000_000 + 7_700_000_000) in (131_072, 262_144)


def neighbours_of(x, y, k):
    scores, rows = nearest(x, y, k)
    array = np.empty(len(x), neighbours_dtype(k))
    array["score"], array["row"] = scores, rows
    return array


def aligned(x, y, margin, k=4):
    """Both sides' partners, by the steps."""
    near = neighbours_of(x, y, k), neighbours_of(y, x, k)
    means = [mean_scores(side["score"]) for side in near]
    return [
        best_partners(own, mean, other[own["row"]], margin)
        for own, mean, other in ((near[0], *means), (near[1], *means[::-1]))
    ]


@pytest.mark.parametrize("margin", MARGINS)
def test_partners_are_those_of_align(margin):
    rng = np.random.default_rng(5)
    x, y = unit(rng, 40), unit(rng, 50)
    expected = align(x, y, margin=margin)
    forward, backward = aligned(x, y, margin)
    if margin != "absolute":  # where align keeps one neighbour
        np.testing.assert_array_equal(forward["row"], expected.targets)
        np.testing.assert_array_equal(backward["row"], expected.sources)
    np.testing.assert_allclose(forward["score"], expected.target_scores, rtol=1e-6)
    np.testing.assert_allclose(backward["score"], expected.source_scores, rtol=1e-6)
    np.testing.assert_allclose(
        forward["cosine"], (x @ y.T)[np.arange(40), forward["row"]], atol=1e-6
    )


def test_rows_with_few_neighbours():
    near = np.zeros(2, neighbours_dtype(3))
    near["score"] = [[0.9, 0.5, -np.inf], [-np.inf] * 3]
    near["row"] = [[4, 7, -1], [-1] * 3]
    means = mean_scores(near["score"])
    np.testing.assert_allclose(means, [0.7, 0.0], rtol=1e-6)
    found = best_partners(near, means, np.full((2, 3), 0.5, "f4"), "ratio")
    assert found["row"].tolist() == [4, -1] and found["score"][1] == -np.inf
    np.testing.assert_allclose(found["score"][0], 0.9 / 0.6, rtol=1e-6)


def test_one_to_one_is_that_of_alignment():
    rng = np.random.default_rng(6)
    for _ in range(20):
        n, m = rng.integers(2, 30, 2)
        scores = rng.integers(0, 6, n + m).astype("f4")  # many are equal
        found = Alignment(rng.integers(0, m, n), scores[:n], rng.integers(0, n, m), scores[n:])
        pairs = np.zeros(n + m, PAIR)
        pairs["source"] = [*range(n), *found.sources]
        pairs["target"] = [*found.targets, *range(m)]
        pairs["score"] = scores
        expected, expected_scores = found.pairs("max")
        kept = one_to_one(pairs)
        assert np.array_equal(np.stack([kept["source"], kept["target"]], 1), expected)
        assert np.array_equal(kept["score"], expected_scores)
        order = sorted(kept.tolist(), key=lambda p: (-p[2], p[0], p[1]))
        assert ranked(kept).tolist() == order
