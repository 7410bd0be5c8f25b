"""Retrieval on held-out pairs while a model is trained, and the end of patience."""

import dataclasses
import types

import numpy as np
import pytest

from labse_tf.release.saved_model import read_weights
from labse_tf.training.fine_tuning import fine_tune
from labse_tf.training.held_out_pairs import HeldOutPairs
from labse_tf.training.run_directory import load_run
from labse_tf.training.stages import parse_stages
from tests.training.runs import CONFIG, assert_same, checkpoints, embed, weights, write_pairs

SENTENCES = ["the cat sat", "a green apple"]


def test_p_at_1_by_hand(new_model, tmp_path):
    model = new_model()
    few = write_pairs(tmp_path / "few.tsv", 20, seed=5)
    (tmp_path / "other").mkdir()
    others = write_pairs(tmp_path / "other" / "few.tsv", 10, seed=6)  # another one of its name
    state = types.SimpleNamespace(step=0)
    callback = HeldOutPairs(model, [few, others], state, CONFIG, parse_stages("", 1)[0], None)
    accuracies = []
    for path in (few, others):
        with open(path, encoding="utf-8") as file:
            x, y = (model.encode(side) for side in zip(*(line[:-1].split("\t") for line in file)))
        accuracies.append(np.mean([(s @ y.T).argmax() == i for i, s in enumerate(x)]))
        accuracies.append(np.mean([(t @ x.T).argmax() == i for i, t in enumerate(y)]))
    assert min(accuracies) < max(accuracies)
    assert callback.measure() == pytest.approx(np.mean(accuracies))


def test_the_end_of_patience(new_model, pairs, tmp_path, monkeypatch, capfd):
    """When P@1 does not rise for 2 measurements, the best one is kept: its moving average."""
    model = new_model()
    found = [0.25, 0.5, 0.5, 0.4, 0.9]
    best = {}

    def measure(self):
        if len(found) == 4:
            best["weights"] = weights(model)
        return found.pop(0)

    monkeypatch.setattr(HeldOutPairs, "measure", measure)
    config = dataclasses.replace(CONFIG, evaluate_every=2, patience=2, ema_decay=0.5)
    fine_tune(model, [pairs], config, tmp_path / "run", held_out=[pairs])
    assert found == [0.9]  # ended after the measurement of step 8
    assert checkpoints(tmp_path / "run") == [0, 4, 8]
    said = capfd.readouterr().out
    assert "8/12 - held-out P@1: 40.00%" in said
    assert "No better one in 2 measurements: the run ends." in said
    for a, b in zip(weights(model), best["weights"], strict=True):
        np.testing.assert_array_equal(a, b)
    assert_same(load_run(tmp_path / "run"), model)
    # Not the weights of that step, which are in its checkpoint.
    trained = new_model()
    read_weights(str(tmp_path / "run" / "checkpoints" / "ckpt-4"), encoder=trained.encoder)
    moved = zip(weights(trained), weights(model), strict=True)
    assert max(np.abs(a - b).max() for a, b in moved) > 1e-3
    again = new_model()
    fine_tune(again, [pairs], config, tmp_path / "run", held_out=[pairs])
    assert_same(again, model)
    assert len(found) == 1


def test_patience_ends_a_stage(new_model, pairs, tmp_path, monkeypatch, capfd):
    """The next stage starts with the best weights, which remain the result if it finds none."""
    found, best = [0.25, 0.5, 0.4, 0.45, 0.2], {}

    def measure(self):
        if found[0] == 0.5:
            best["outputs"] = embed(self._embedder, SENTENCES)
        return found.pop(0)

    monkeypatch.setattr(HeldOutPairs, "measure", measure)
    config = dataclasses.replace(CONFIG, evaluate_every=1, patience=1, stages="0:50%,1:50%")
    arguments = [pairs], config, tmp_path / "run"
    model = fine_tune(new_model(0), *arguments, held_out=[pairs])
    assert capfd.readouterr().out.count("No better one in 1 measurements: the stage ends.") == 2
    assert not found  # 0.45 is the best of the second stage, but not of the run
    assert model.encoder.config.num_layers == 1
    np.testing.assert_allclose(embed(model, SENTENCES), best["outputs"], atol=1e-5)
    assert_same(load_run(tmp_path / "run"), model)
    # Read back, without a measurement.
    assert_same(fine_tune(new_model(0), *arguments, held_out=[pairs]), model)


def test_a_better_later_stage(new_model, pairs, tmp_path, monkeypatch):
    found, best = [0.25, 0.1, 0.3, 0.2], {}

    def measure(self):
        if found[0] == 0.3:
            best["weights"] = weights(self._embedder)
        return found.pop(0)

    monkeypatch.setattr(HeldOutPairs, "measure", measure)
    config = dataclasses.replace(CONFIG, evaluate_every=1, patience=1, stages="0:50%,1:50%")
    model = fine_tune(new_model(0), [pairs], config, tmp_path, held_out=[pairs])
    for a, b in zip(weights(model), best["weights"], strict=True):
        np.testing.assert_array_equal(a, b)


def test_patience_without_pairs(new_model, pairs, tmp_path):
    config = dataclasses.replace(CONFIG, patience=2)
    with pytest.raises(ValueError, match="no `held_out` files"):
        fine_tune(new_model(), [pairs], config, tmp_path / "other")
