"""Margins and aligned rows, against LASER's definition worked out by hand, and NumPy."""

import numpy as np
import pytest

from labse_tf.search.margins import align, margin_scores


def rows_with(cosines):
    """Sources and targets whose products are a given matrix: the targets are the axes."""
    cosines = np.array(cosines, np.float32)
    rest = np.sqrt(1 - np.sum(cosines**2, axis=1))[:, None]
    sources = np.concatenate([cosines, rest], axis=1).astype(np.float32)
    targets = np.eye(cosines.shape[1], cosines.shape[1] + 1, dtype=np.float32)
    return sources, targets


# By hand, with k = 2. Rows are sources x0 to x2, columns targets y0 to y2.
COSINES = [[0.6, 0.5, 0.1], [0.7, 0.2, 0.3], [0.4, 0.3, 0.2]]
# Means of the 2 nearest: x: (0.6+0.5)/2 = 0.55, (0.7+0.3)/2 = 0.5, (0.4+0.3)/2 = 0.35;
# y: (0.7+0.6)/2 = 0.65, (0.5+0.3)/2 = 0.4, (0.3+0.2)/2 = 0.25.
# Ratio of (i, j) = cosine / ((mean of x_i + mean of y_j) / 2), among the 2 nearest:
#   x0: y0 0.6/0.6 = 1, y1 0.5/0.475 = 1.05263; x1: y0 0.7/0.575 = 1.21739, y2 0.3/0.375 = 0.8;
#   x2: y0 0.4/0.5 = 0.8, y1 0.3/0.375 = 0.8: equal, so the nearer one.
#   y0: x1 1.21739, x0 1; y1: x0 1.05263, x2 0.8; y2: x1 0.8, x2 0.2/0.3 = 0.66667.


def test_ratio_by_hand():
    found = align(*rows_with(COSINES), margin="ratio", k=2)
    np.testing.assert_array_equal(found.targets, [1, 0, 0])
    np.testing.assert_allclose(found.target_scores, [1.05263, 1.21739, 0.8], atol=1e-5)
    np.testing.assert_array_equal(found.sources, [1, 0, 1])
    np.testing.assert_allclose(found.source_scores, [1.21739, 1.05263, 0.8], atol=1e-5)


def test_distance_by_hand():
    # x0: y0 0.6-0.6 = 0, y1 0.5-0.475 = 0.025; x1: y0 0.125, y2 -0.075; x2: y0 -0.1, y1 -0.075.
    # y0: x1 0.125; y1: x0 0.025, x2 -0.075; y2: x1 -0.075, x2 0.2-0.3 = -0.1.
    found = align(*rows_with(COSINES), margin="distance", k=2)
    np.testing.assert_array_equal(found.targets, [1, 0, 1])
    np.testing.assert_allclose(found.target_scores, [0.025, 0.125, -0.075], atol=1e-6)
    np.testing.assert_array_equal(found.sources, [1, 0, 1])
    np.testing.assert_allclose(found.source_scores, [0.125, 0.025, -0.075], atol=1e-6)


def test_cosine_and_directions_by_hand():
    found = align(*rows_with(COSINES), margin="absolute")
    np.testing.assert_array_equal(found.targets, [0, 0, 0])
    np.testing.assert_array_equal(found.sources, [1, 0, 1])
    expected = {
        "forward": ([[0, 0], [1, 0], [2, 0]], [0.6, 0.7, 0.4]),
        "backward": ([[1, 0], [0, 1], [1, 2]], [0.7, 0.5, 0.3]),
        "mutual": ([[1, 0]], [0.7]),
        # By falling score: x1 y0 0.7 (twice), x0 y0 0.6, x0 y1 0.5, x2 y0 0.4, x1 y2 0.3.
        "max": ([[1, 0], [0, 1]], [0.7, 0.5]),
    }
    for direction, (pairs, scores) in expected.items():
        got = found.pairs(direction)
        np.testing.assert_array_equal(got[0], pairs)
        np.testing.assert_allclose(got[1], scores, atol=1e-6)


@pytest.mark.parametrize("margin", ["ratio", "distance", "absolute"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_against_numpy(margin, precision):
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=[n, 32]) for n in (700, 500))
    x[:400] += y[:400] * 0.6
    x, y = ((z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32) for z in (x, y))
    cosines = x.astype(np.float64) @ y.T.astype(np.float64)
    means_x = np.sort(cosines, axis=1)[:, -4:].mean(axis=1)
    means_y = np.sort(cosines, axis=0)[-4:].mean(axis=0)
    around = (means_x[:, None] + means_y) / 2
    scores = {"ratio": cosines / around, "distance": cosines - around, "absolute": cosines}[margin]
    near_y = np.argsort(np.argsort(-cosines, axis=1), axis=1) < 4
    near_x = np.argsort(np.argsort(-cosines, axis=0), axis=0) < 4
    found = align(x, y, margin=margin, precision=precision)
    np.testing.assert_array_equal(found.targets, np.where(near_y, scores, -9).argmax(axis=1))
    np.testing.assert_array_equal(found.sources, np.where(near_x, scores, -9).argmax(axis=0))
    best = scores[np.arange(700), found.targets]
    np.testing.assert_allclose(found.target_scores, best, atol=1e-5)


def test_fewer_rows_than_neighbours():
    found = align(*rows_with([[0.9, 0.1]]), k=4)
    # Means: x (0.9+0.1)/2 = 0.5; y0 0.9, y1 0.1. 0.9/0.7 = 1.28571; 0.1/0.3 = 0.33333.
    assert found.targets.tolist() == [0] and found.sources.tolist() == [0, 0]
    np.testing.assert_allclose(found.source_scores, [1.28571, 0.33333], atol=1e-5)


def test_bad_input():
    x, y = rows_with(COSINES)
    with pytest.raises(ValueError, match=r"`margin` \(='cosine'\) must be one of"):
        align(x, y, margin="cosine")
    with pytest.raises(ValueError, match=r"`k` \(=0\) must be at least 1"):
        align(x, y, k=0)
    with pytest.raises(ValueError, match=r"`direction` \(='both'\) must be one of"):
        align(x, y).pairs("both")
    with pytest.raises(ValueError, match="no rows on one side"):
        align(x, y[:0])
    assert margin_scores(np.float32(0.5), 0.2, 0.3, "absolute") == 0.5
