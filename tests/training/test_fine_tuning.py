"""fine_tune: what it learns; runs that are resumed, refused, or go wrong."""

import dataclasses
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import labse_tf
from labse_tf.training.config import FineTuningConfig
from labse_tf.training.fine_tuning import fine_tune
from labse_tf.training.run_directory import load_run

ROOT = Path(__file__).parents[2]
ENGLISH = "the cat sat on mat and saw a green apple with Tom".split()
CONFIG = FineTuningConfig(
    steps=12,
    batch_size=8,
    learning_rate=0.01,
    warmup_steps=2,
    scale=10.0,
    checkpoint_every=4,
    report_every=2,
    seed=3,
)


def write_pairs(path, count=100, seed=0):
    rng = np.random.default_rng(seed)
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(count):
            words = rng.choice(ENGLISH, rng.integers(1, 9))
            file.write(f"{' '.join(word[::-1] for word in words)} ?\t{' '.join(words)}\n")
    return str(path)


def make_model(vocab_file, vocab_size):
    tf.random.set_seed(0)
    config = labse_tf.EncoderConfig(
        vocab_size=vocab_size,
        hidden_size=8,
        num_layers=1,
        num_heads=2,
        intermediate_size=12,
        max_positions=32,
        initializer_range=0.3,
    )
    encoder = labse_tf.Encoder(config)
    rng = np.random.default_rng(1)
    for weight in encoder.weights:
        weight.assign(rng.normal(scale=0.3, size=weight.shape) + ("scale" in weight.name))
    return labse_tf.LaBSE(labse_tf.Preprocessor(vocab_file, 32), encoder)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("pairs") / "a-b.tsv")


@pytest.fixture
def new_model(vocab_file, vocab_size):
    return lambda: make_model(vocab_file, vocab_size)


def weights(model):
    return [w.numpy() for w in model.encoder.weights]


def checkpoints(workdir):
    return sorted(
        int(path.stem.rsplit("-", 1)[1]) for path in Path(workdir, "checkpoints").glob("*.index")
    )


def test_it_learns(vocab_file, vocab_size, pairs, tmp_path, capfd):
    config = labse_tf.EncoderConfig.small(vocab_size, num_layers=0, max_positions=32)
    model = labse_tf.LaBSE(labse_tf.Preprocessor(vocab_file, 32), labse_tf.Encoder(config))
    steps = dataclasses.replace(CONFIG, steps=120, checkpoint_every=50, report_every=20)
    assert fine_tune(model, [pairs], steps, tmp_path / "run") is model
    lines = [line for line in capfd.readouterr().out.splitlines() if "loss" in line]
    losses = [float(line.split("loss: ")[1].split()[0]) for line in lines]
    assert [line.split("/")[0] for line in lines] == ["20", "40", "60", "80", "100", "120"]
    assert losses[-1] < 0.6 * losses[0]
    assert checkpoints(tmp_path / "run") == [50, 100, 120]  # the newest three
    for a, b in zip(weights(load_run(tmp_path / "run")), weights(model), strict=True):
        np.testing.assert_array_equal(a, b)
    assert load_run(tmp_path / "run", 50).encode(["Tom"]) != pytest.approx(model.encode(["Tom"]))


def test_killed_and_started_again(new_model, pairs, vocab_file, tmp_path):
    # In mid-training, between two checkpoints, with SIGKILL; the slow callback makes it sure.
    whole = new_model()
    fine_tune(whole, [pairs], CONFIG, tmp_path / "whole")
    code = f"""
import labse_tf.training.fine_tuning as f
from labse_tf.training.callbacks import Reports
from tests.training.test_fine_tuning import *
step = Reports.on_train_batch_end
def slow(self, batch, logs=None):
    step(self, batch, logs)
    if batch == 6:  # step 7: the last checkpoint is of step 4
        print("step 7", flush=True)
        time.sleep(600)
Reports.on_train_batch_end = slow
with open({vocab_file!r}, encoding="utf-8") as file:
    model = make_model({vocab_file!r}, sum(1 for _ in file))
f.fine_tune(model, [{pairs!r}], CONFIG, {str(tmp_path / "killed")!r})
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if line.strip() == "step 7":
            break
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    assert checkpoints(tmp_path / "killed") == [0, 4]

    resumed = new_model()
    fine_tune(resumed, [pairs], CONFIG, tmp_path / "killed")
    for a, b in zip(weights(resumed), weights(whole), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    # Resuming matters: the same steps from the same weights, without the optimizer's state.
    assert max(np.abs(a - b).max() for a, b in zip(weights(whole), weights(new_model()))) > 0.01


def test_a_finished_run_is_read_back(new_model, pairs, tmp_path):
    model, again = new_model(), new_model()
    fine_tune(model, [pairs], CONFIG, tmp_path / "run")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*")}
    fine_tune(again, [pairs], CONFIG, tmp_path / "run")
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*")} == before
    for a, b in zip(weights(again), weights(model), strict=True):
        np.testing.assert_array_equal(a, b)


def test_other_settings_are_refused(new_model, pairs, tmp_path):
    fine_tune(new_model(), [pairs], CONFIG, tmp_path / "run")
    other = dataclasses.replace(CONFIG, learning_rate=0.5, margin=0.1)
    with pytest.raises(ValueError, match=r"learning_rate was 0.01, now 0.5") as error:
        fine_tune(new_model(), [pairs], other, tmp_path / "run")
    assert "settings.margin was 0.3, now 0.1" in str(error.value)
    assert checkpoints(tmp_path / "run") == [4, 8, 12]


def test_a_loss_that_is_no_number(new_model, pairs, tmp_path, monkeypatch):
    model = new_model()
    calls = tf.Variable(0, trainable=False)
    rank = labse_tf.AdditiveMarginRankingLoss.__call__

    def rotten(self, *arguments):
        loss, negatives = rank(self, *arguments)
        return loss * tf.where(calls.assign_add(1) > 7, float("nan"), 1.0), negatives

    monkeypatch.setattr(labse_tf.AdditiveMarginRankingLoss, "__call__", rotten)
    with pytest.raises(FloatingPointError, match=r"loss of step 8 is nan.*ckpt-4") as error:
        fine_tune(model, [pairs], CONFIG, tmp_path / "run")
    assert str(tmp_path / "run") in str(error.value)
    assert checkpoints(tmp_path / "run") == [0, 4]
    assert all(np.isfinite(w).all() for w in weights(load_run(tmp_path / "run")))


def test_fewer_pairs_than_a_batch(new_model, tmp_path):
    few = write_pairs(tmp_path / "few.tsv", count=7)
    with pytest.raises(ValueError, match="hold 7 pairs, fewer than one global batch of 8"):
        fine_tune(new_model(), [few], CONFIG, tmp_path / "run")
    # Nothing was written, so the same directory will do for other settings.
    assert not (tmp_path / "run").exists()
    other = dataclasses.replace(CONFIG, batch_size=4, steps=3)
    fine_tune(new_model(), [few], other, tmp_path / "run")
    assert checkpoints(tmp_path / "run") == [0, 3]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", -1),
        ("batch_size", 1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("warmup_steps", 12),
        ("keep_checkpoints", 0),
        ("scale", -1.0),
    ],
)
def test_bad_settings(field, value):
    with pytest.raises(ValueError, match=rf"`{field}` \(={value}\)"):
        dataclasses.replace(CONFIG, **{field: value})


def test_what_is_no_run(new_model, pairs, tmp_path):
    with pytest.raises(FileNotFoundError, match="no training run"):
        load_run(tmp_path)
    fine_tune(new_model(), [pairs], CONFIG, tmp_path / "run")
    with pytest.raises(FileNotFoundError, match=r"no checkpoint of step 5; it has .*\[4, 8, 12\]"):
        load_run(tmp_path / "run", 5)


def test_no_step_starts_the_run(new_model, pairs, tmp_path):
    model = new_model()
    fine_tune(model, [pairs], dataclasses.replace(CONFIG, steps=0), tmp_path / "run")
    assert checkpoints(tmp_path / "run") == [0]
    for a, b in zip(weights(load_run(tmp_path / "run")), weights(new_model()), strict=True):
        np.testing.assert_array_equal(a, b)


def test_first_step_by_hand(new_model, pairs, tmp_path):
    """Adam's first step is learning rate times the sign, wherever the gradient is not tiny."""
    model, start = new_model(), new_model()
    config = dataclasses.replace(CONFIG, steps=1, warmup_steps=0, weight_decay=0.0, clip_norm=0.0)
    fine_tune(model, [pairs], config, tmp_path / "run")
    moves = np.concatenate([(a - b).ravel() for a, b in zip(weights(model), weights(start))])
    moved = np.abs(moves[np.abs(moves) > 1e-3])
    assert len(moved) > 300
    np.testing.assert_allclose(np.median(moved), 0.01, rtol=1e-3)
    assert moved.max() < 0.0101
