"""Which runs the experiments consist of, without any training."""

import gzip

import pytest

from tests.experiments.test_experiments import arguments, data
from training.experiments import comparison, cross_replica, hard_negatives, margin

__all__ = ["data"]  # a fixture


@pytest.fixture
def planned(monkeypatch):
    """The runs of an experiment, which is not run."""
    found = []
    monkeypatch.setattr(
        comparison.Comparison, "compare", lambda _, runs, **options: found.extend(runs)
    )
    return found


def test_margins_are_compared_at_each_scale(data, tmp_path, planned):
    margin.main(arguments(data, tmp_path, "--margins", "0,0.1,0.3", "--scales", "5,20"))
    assert [(r.training.scale, r.training.margin, r.x) for r in planned] == [
        (scale, margin, margin) for scale in (5, 20) for margin in (0, 0.1, 0.3)
    ]
    names = [run.name for run in planned]
    assert [run.against for run in planned] == ["", *names[:1] * 2, "", *names[3:4] * 2]
    assert [run.line for run in planned] == ["scale 5"] * 3 + ["scale 20"] * 3


def test_groups_of_replicas_and_batches(data, tmp_path, planned, monkeypatch, mirrored):
    monkeypatch.setattr(comparison, "choose_strategy", mirrored)
    cross_replica.main(arguments(data, tmp_path, "--replicas", "2", "--gathered", "1,2"))
    names = [run.name for run in planned]
    assert [run.x for run in planned] == [3, 7, 3, 7]
    assert [run.loss.group for run in planned] == [4, 8, 4, 8]
    assert [run.against for run in planned] == ["", names[0], names[0], names[1]]
    assert [run.training.chunk_size for run in planned] == [0, 0, 4, 4]


def test_several_counts_of_negatives(data, tmp_path, planned, monkeypatch):
    hard_negatives.main(arguments(data, tmp_path, "--counts", "1,2"))
    names = ["none", "1 random", "1 mined", "2 random", "2 mined"]
    assert [run.name for run in planned] == names
    assert [run.training.hard_negatives for run in planned] == [0, 1, 1, 2, 2]
    rows = {
        run.name: [gzip.open(path, "rt").read().splitlines() for path in run.pairs(0)]
        for run in planned
        if "random" in run.name
    }
    one, two = rows["1 random"], rows["2 random"]
    assert [[r.rsplit("\t", 1)[0] for r in file] for file in two] == one
    assert {r.count("\t") for file in two for r in file} == {3}
