"""The experiment of growing: full depth gets as many steps as take the same time."""

import dataclasses
import json
import re
import types

import numpy as np
import pytest

from labse_tf.training.run_directory import load_run
from tests.experiments.test_experiments import arguments, check_report, data, eagerly, no_training
from training.experiments import comparison, growing, runs, timing

__all__ = ["data", "eagerly"]  # fixtures


def test_growing(eagerly, data, tmp_path, monkeypatch):
    """Steps of 1 s without layers and 2 s with one: 2 + 2 of them take as long as 3 of 2 s."""
    monkeypatch.setattr(growing, "_seconds_per_step", lambda _, layers, steps: 1.0 + layers)
    flags = arguments(
        data, tmp_path, "--steps", "4", "--stages", "0:50%,1:50%", "--learning-rates", "0.01,0.02"
    )
    flags = [flag for i, flag in enumerate(flags) if "--num-layers" not in flags[i - 1 : i + 1]]
    growing.main(flags)
    names = [
        f"{way} steps, learning rate {rate}"
        for way in ("grown, 4", "full depth, 3")
        for rate in (0.01, 0.02)
    ]
    results = check_report(tmp_path, names, [*names[2:], "", ""])
    assert [run["training"]["learning_rate"] for run in results["runs"]] == [0.01, 0.02] * 2
    folders = [tmp_path / "runs" / re.sub(r"[^\w.]+", "-", name) / "seed-0" for name in names]
    for grown, full in zip(folders[:2], folders[2:], strict=True):
        assert load_run(grown).encoder.config.num_layers == 1
        shallow = load_run(grown / "stage-1", 0).encoder
        assert shallow.config.num_layers == 0
        settings = json.loads((full / "config.json").read_text())["settings"]
        assert (settings["stages"], settings["steps"]) == ("", 3)
        deep = load_run(full, 0).encoder
        assert deep.config.num_layers == 1
        np.testing.assert_array_equal(deep.embeddings.word, shallow.embeddings.word)
    # The times are not measured again, nor are finished runs trained.
    monkeypatch.setattr(growing, "_seconds_per_step", no_training)
    monkeypatch.setattr(runs, "fine_tune", no_training)
    growing.main(flags)
    with pytest.raises(ValueError, match="`stages` is empty"):
        growing.main(arguments(data, tmp_path / "a", "--stages", ""))


@pytest.mark.parametrize("start_up", [0.0, 7.0])
def test_seconds_per_step(monkeypatch, start_up):
    """By a clock of our own: what starting up takes, however long, is no part of it."""
    clock = [0.0]
    taken = []

    def fine_tune(model, pairs, config, workdir):
        assert (model, pairs, config.stages) == ("2 layers", ["pairs"], "")
        taken.append(config.steps)
        clock[0] += start_up + 0.25 * config.steps

    monkeypatch.setattr(growing, "fine_tune", fine_tune)
    monkeypatch.setattr(timing.time, "monotonic", lambda: clock[0])
    made = types.SimpleNamespace(
        pairs=["pairs"],
        training=dataclasses.replace(comparison.TRAINING, stages="0:50%,2:50%"),
        new_model=lambda seed, num_layers: f"{num_layers} layers",
    )
    assert growing._seconds_per_step(made, 2, 12) == pytest.approx(0.25)
    assert taken == [3, 3, 12]
    monkeypatch.setattr(timing.time, "monotonic", lambda: 0.0)
    with pytest.raises(ValueError, match="12 steps took no longer than 3"):
        growing._seconds_per_step(made, 2, 12)
    with pytest.raises(ValueError, match=r"`timed_steps` \(=3\)"):
        growing._seconds_per_step(made, 2, 3)
