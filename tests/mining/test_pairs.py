"""Candidates and which stay, against brute force over a matrix of margins."""

import itertools

import numpy as np
import pytest

from labse_tf.mining.options import MiningOptions
from labse_tf.mining.pairs import Pairs, candidates, cosines_of, kept_pairs
from labse_tf.mining.sides import read_side
from labse_tf.search.both_directions import nearest_both_ways
from tests.search.test_nearest import clustered


def by_definition(x, y, k, strategy):
    """Scores by ratio of all pairs that are among each other's k nearest, by source and target."""
    cosines = x.astype(np.float64) @ y.T.astype(np.float64)
    near_y = np.argsort(np.argsort(-cosines, axis=1), axis=1) < k
    near_x = np.argsort(np.argsort(-cosines, axis=0), axis=0) < k
    means = np.sort(cosines, axis=1)[:, -k:].mean(axis=1), np.sort(cosines, axis=0)[-k:].mean(0)
    scores = 2 * cosines / (means[0][:, None] + means[1])
    kept = {
        "forward": near_y,
        "backward": near_x,
        "mutual": near_y & near_x,
        "max": near_y | near_x,
    }[strategy]
    return {(i, j): scores[i, j] for i, j in np.argwhere(kept).tolist()}


@pytest.mark.parametrize("strategy", ["forward", "backward", "mutual", "max"])
def test_alternatives(strategy):
    x, y = clustered(60), clustered(50, seed=1)
    found = candidates(
        nearest_both_ways(x, y, 3), MiningOptions(k=3, strategy=strategy, alternatives=True)
    )
    expected = by_definition(x, y, 3, strategy)
    assert set(map(tuple, found.rows.tolist())) == set(expected) and len(found) == len(expected)
    np.testing.assert_allclose(
        found.scores, [expected[i, j] for i, j in found.rows.tolist()], atol=1e-5
    )
    assert (np.diff(found.scores) <= 0).all()
    np.testing.assert_allclose(
        cosines_of(found, x, y), [x[i] @ y[j] for i, j in found.rows.tolist()], atol=1e-6
    )


@pytest.fixture
def sides(tmp_path):
    options = MiningOptions(deduplicate="none")
    texts = {
        "source": ["Tom!", "a b", "a  b", "The same.", "a long sentence with a lot of words in it"],
        "target": ["Tom", "c", "c", "the SAME", "short"],
    }
    return [read_side(lines, n, str(tmp_path), options, n) for n, lines in texts.items()]


def kept(sides, scored, **options):
    rows = np.array([pair for pair, _ in scored])
    pairs = Pairs(rows, np.array([score for _, score in scored], np.float32))
    found, dropped = kept_pairs(pairs, *sides, MiningOptions(deduplicate="none", **options))
    return [tuple(row) for row in found.rows.tolist()], {r: n for r, n in dropped.items() if n}


PAIRS = [((3, 3), 1.5), ((1, 1), 1.4), ((2, 2), 1.3), ((0, 0), 1.2), ((4, 4), 1.1), ((0, 4), 1.0)]


@pytest.mark.parametrize(
    "options, rows, dropped",
    [
        ({}, [0, 1, 3, 4, 5], {"pair again": 1}),
        ({"deduplicate_pairs": False}, [0, 1, 2, 3, 4, 5], {}),
        ({"deduplicate_targets": True}, [0, 1, 3, 4], {"pair again": 1, "target again": 1}),
        ({"min_score": 1.15, "max_score": 1.45}, [1, 3],
         {"score below": 2, "score above": 1, "pair again": 1}),
        ({"drop_copies": True}, [1, 4, 5], {"copies": 2, "pair again": 1}),
        ({"max_ratio": 2.0}, [0, 1, 3, 5], {"length ratio": 1, "pair again": 1}),
        ({"max_ratio": 2.0, "drop_copies": True}, [1, 5],
         {"length ratio": 1, "copies": 2, "pair again": 1}),
        ({"keep_best": 2.0}, [0, 1], {"pair again": 1, "not of the best": 3}),
        ({"keep_best": 0.5}, [0, 1, 3], {"pair again": 1, "not of the best": 2}),
    ],
)  # fmt: skip
def test_what_stays(sides, options, rows, dropped):
    assert kept(sides, PAIRS, **options) == ([PAIRS[i][0] for i in rows], dropped)


def test_no_pairs(sides):
    none = Pairs(np.zeros([0, 2], np.int64), np.zeros(0, np.float32))
    options = MiningOptions(
        max_ratio=2.0, drop_copies=True, deduplicate_targets=True, keep_best=0.5
    )
    assert len(kept_pairs(none, *sides, options)[0]) == 0
    assert len(kept_pairs(none, *sides, MiningOptions(deduplicate="none"))[0]) == 0


def test_equal_scores_are_in_the_order_of_rows():
    x = np.eye(6, dtype=np.float32)
    found = candidates(nearest_both_ways(x, x[::-1].copy(), 1), MiningOptions(margin="absolute"))
    assert found.rows.tolist() == [[i, 5 - i] for i in range(6)]
    assert len(list(itertools.pairwise(found.scores))) == 5 and (found.scores == 1).all()
