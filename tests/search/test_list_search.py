"""Inverted lists on both sides: against exact search, and what they cost."""

import numpy as np
import pytest

from labse_tf.search.list_search import Lists, make_lists, nearest_in_lists
from labse_tf.search.margins import align, align_neighbours
from labse_tf.search.nearest import nearest
from labse_tf.search.neighbours import NO_ROW
from labse_tf.search.state import SearchState
from tests.search.test_nearest import clustered, unit


def translations(count, noise=0.5, seed=0, dim=32):
    """Rows and their noisy copies, in another order: (sources, targets, place of each copy)."""
    rng = np.random.default_rng(seed)
    sources = clustered(count, dim=dim, clusters=count // 20, spread=0.7, seed=seed)
    order = rng.permutation(count)
    targets = unit(sources + noise * rng.normal(size=sources.shape) / np.sqrt(dim))[order]
    return sources, targets, np.argsort(order)


def same(found, expected):
    return float(np.mean(found == expected))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_all_lists_are_exact_search(precision):
    sources, targets, _ = translations(400)
    found = nearest_in_lists(sources, targets, 3, Lists(7, 7, 7), precision=precision)
    for scores, rows, sides in (
        (found.target_scores, found.targets, (sources, targets)),
        (found.source_scores, found.sources, (targets, sources)),
    ):
        expected = nearest(*sides, 3)
        np.testing.assert_array_equal(rows, expected[1])
        np.testing.assert_allclose(scores, expected[0], atol=1e-6)


def test_most_is_found_at_a_part_of_the_products():
    sources, targets, places = translations(2400)
    lists = Lists(96, 8, 4)
    progress = []
    found = nearest_in_lists(sources, targets, 4, lists, progress=progress.append)
    assert make_lists(sources, targets, lists).products == sum(progress) < 0.4 * 2400**2
    assert same(found.targets[:, :1], nearest(sources, targets)[1]) > 0.97
    exact, by_lists = align(sources, targets), align_neighbours(found)
    right = [np.mean(a.targets == places) for a in (exact, by_lists)]
    assert right[0] > 0.9 and right[1] > 0.98 * right[0]
    np.testing.assert_array_equal(
        found.targets, nearest_in_lists(sources, targets, 4, lists).targets
    )


def test_where_lists_are_small_neighbours_are_missing():
    sources, targets, _ = translations(60)
    found = nearest_in_lists(sources, targets, 4, Lists(30, 1, 1))
    missing = found.targets == NO_ROW
    assert missing.any() and (found.target_scores[missing] == -np.inf).all()
    aligned = align_neighbours(found)  # means are of those that were found
    for row in np.flatnonzero(~missing.all(axis=1))[:20]:
        j = aligned.targets[row]
        means = [
            scores[scores > -np.inf].mean()
            for scores in (found.target_scores[row], found.source_scores[j])
        ]
        cosine = sources[row] @ targets[j]
        assert aligned.target_scores[row] == pytest.approx(cosine / np.mean(means), abs=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("lists", [9, 25, 50, 400])
def test_few_distinct_rows(lists, precision):
    """Each source's nearest target is a duplicate of it, however many lists there are."""
    rows = np.repeat(clustered(12, dim=16), 20, axis=0)
    found = nearest_in_lists(rows, rows, 20, Lists(lists, 8, 4), precision=precision)
    expected = np.repeat(np.arange(12), 400).reshape(240, 20)
    np.testing.assert_array_equal(found.targets // 20, expected)
    np.testing.assert_array_equal(found.sources // 20, expected)


def test_it_goes_on_where_it_was_cut_off(tmp_path):
    sources, targets, _ = translations(500)
    lists = Lists(20, 3, 2)
    expected = nearest_in_lists(sources, targets, 3, lists)
    counts = []

    def stop(count):
        counts.append(count)
        if len(counts) == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nearest_in_lists(
            sources, targets, 3, lists, progress=stop, state=SearchState(tmp_path / "s.npz", 0)
        )
    later = []
    found = nearest_in_lists(
        sources, targets, 3, lists, progress=later.append, state=SearchState(tmp_path / "s.npz")
    )
    assert later[0] == sum(counts[:-1]) and len(later) == 10
    assert sum(later) == make_lists(sources, targets, lists).products
    np.testing.assert_array_equal(found.targets, expected.targets)
    np.testing.assert_array_equal(found.sources, expected.sources)


def test_bad_arguments():
    rows = clustered(10)
    for arguments in ((rows[:0], rows, 1), (rows, rows[:0], 1)):
        with pytest.raises(ValueError, match="There are no rows on one side"):
            nearest_in_lists(*arguments, Lists())
    with pytest.raises(ValueError, match=r"`k` \(=0\) must be at least 1"):
        nearest_in_lists(rows, rows, 0, Lists())


def test_how_many_lists():
    assert Lists().count(10_000, 1_000_000) == 100
    assert Lists(300).count(10, 20) == 30
