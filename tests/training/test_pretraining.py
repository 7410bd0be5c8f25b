"""pretrain: what it learns; stages that are stacked, resumed, refused; what comes out of it."""

import dataclasses
import functools
import os

import numpy as np
import pytest
import tensorflow as tf

import labse_tf
from labse_tf.data.masked_text import read_masked
from labse_tf.data.masking import Masking
from labse_tf.encoder.masked_language_head import MaskedLanguageHead
from labse_tf.encoder.stacking import stack
from labse_tf.training import pretraining
from labse_tf.training.preemption import Preempted
from labse_tf.training.pretrainer import Pretrainer
from labse_tf.training.pretraining import pretrain
from labse_tf.training.run_directory import load_run
from tests.training.logs import read_logs
from tests.training.pretraining_runs import CONFIG, ReadOnce, make_model, read_head, write_pairs
from tests.training.runs import assert_same, checkpoints, weights
from tests.training.signals import terminate, terminate_in_step


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("pairs") / "xx-yy.tsv")


@pytest.fixture(scope="module")
def new_model(word_file):
    return functools.partial(make_model, word_file)


@pytest.fixture(scope="module")
def batches():
    """What the runs of this module that are not under replicas read."""
    return ReadOnce(CONFIG.steps)


@pytest.fixture
def read_once(batches, monkeypatch):
    monkeypatch.setattr(pretraining, "read_masked", batches)


@pytest.fixture(scope="module")
def whole(batches, new_model, pairs, tmp_path_factory):
    """A run of CONFIG, not to be changed, and the model that it gave."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretraining, "read_masked", batches)
        return workdir, pretrain(new_model(), [pairs], [pairs], CONFIG, workdir)


def test_it_learns_and_stacking_loses_little(new_model, pairs, tmp_path, capfd):
    config = dataclasses.replace(
        CONFIG, steps=200, batch_size=32, stages="2:80%,4:20%", warmup_steps=10, tlm_share=0.75,
        checkpoint_every=100, report_every=20, evaluate_every=200,
    )  # fmt: skip
    held_out = write_pairs(tmp_path / "xx-yy.held.tsv", count=192, seed=1)
    trained = pretrain(new_model(2), [pairs], [pairs], config, tmp_path, held_out=[held_out])
    lines = capfd.readouterr().out.splitlines()
    figures = [line.split() for line in lines if line.startswith(("xx ", "yy ", "mean "))]
    assert [f[0] for f in figures] == ["xx", "yy", "mean"] * 2
    # A guess among 12 words: 8.3% and 12.
    assert all(float(f[1].rstrip("%")) > 20 and float(f[2]) < 8 for f in figures[3:])

    for stage in ("stage-1", "stage-2"):
        assert set(read_logs(tmp_path / stage)["cut_pairs"].values()) == {0.0}

    # Untrained, each of 17 tokens is as likely: ln 17 = 2.83. Who does not look at the other words
    # knows at best which of the three places it is: ln 4 = 1.39.
    parent = load_run(tmp_path / "stage-1")
    head = read_head(parent.encoder.config, tmp_path / "stage-1", 160)
    masking = Masking(parent.preprocessor)
    held_out = read_masked([], [held_out], parent.preprocessor, masking, 100, tlm_share=1.0, seed=9)
    batch = next(iter(held_out))

    def loss_of(encoder, head=head):
        loss, _, count = Pretrainer(encoder, head).sums(batch)
        return float(loss / count)

    untrained = loss_of(new_model(2).encoder, MaskedLanguageHead(parent.encoder.config))
    assert untrained > 2.5 and loss_of(parent.encoder) < 0.8
    # The stacked encoder begins near its parent.
    first = loss_of(stack(parent.encoder, 4))
    assert first - loss_of(parent.encoder) < 0.25 * (untrained - loss_of(parent.encoder))
    end = read_head(parent.encoder.config, tmp_path / "stage-2", 40)
    assert loss_of(trained.encoder, end) < first


def test_stages_begin_as_the_last_one_ended(whole):
    run, result = whole
    assert checkpoints(run / "stage-1") == [0, 3, 4]
    assert checkpoints(run / "stage-2") == [0, 3, 4]
    start = load_run(run / "stage-2", 0)
    parent = load_run(run / "stage-1")
    expected = stack(parent.encoder, 2)
    assert_same(start, labse_tf.LaBSE(start.preprocessor, expected))
    assert_same(load_run(run), result)
    assert result.encoder.config.num_layers == 2

    # The head is in the checkpoints, and goes on from stage to stage.
    def head_of(stage, step):
        path = str(run / stage / "checkpoints" / f"ckpt-{step}")
        reader = tf.train.load_checkpoint(path)
        names = [n for n in reader.get_variable_to_shape_map() if n.startswith("head/")]
        return {n: reader.get_tensor(n) for n in names if "OPTIMIZER_SLOT" not in n}

    before, after, end = (head_of(*x) for x in (("stage-1", 4), ("stage-2", 0), ("stage-2", 4)))
    shapes = sorted(value.shape for value in before.values())
    assert shapes == [(17,), (32,), (32,), (32,), (32, 32)]  # its own, and no table
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)
        assert not np.array_equal(end[name], value)


def test_interrupted_in_any_stage(read_once, whole, new_model, pairs, tmp_path, monkeypatch):
    run = tmp_path / "run"
    # In the 2nd step; the 4th, a stage's last; and the 6th, the 2nd since the run went on.
    for step, stages in ((2, ["stage-1"]), (2, ["stage-1"]), (2, ["stage-1", "stage-2"])):
        with monkeypatch.context() as patch, pytest.raises(Preempted):
            terminate_in_step(patch, step)
            pretrain(new_model(), [pairs], [pairs], CONFIG, run)
        assert sorted(os.listdir(run)) == stages
    resumed = pretrain(new_model(), [pairs], [pairs], CONFIG, run)
    assert_same(resumed, whole[1], atol=1e-6)
    # A finished run is only read back.
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert_same(pretrain(new_model(), [pairs], [pairs], CONFIG, run), resumed)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_sigterm_while_files_are_read(new_model, pairs, tmp_path, monkeypatch):
    """One handler for the whole call: also before the run's directory is made."""
    for reader in ("MaskedEvaluation", "read_masked"):
        with monkeypatch.context() as patch, pytest.raises(Preempted):
            patch.setattr(pretraining, reader, lambda *_, **options: terminate())
            pretrain(new_model(), [pairs], [pairs], CONFIG, tmp_path / "run", held_out=[pairs])
    assert not (tmp_path / "run").exists()


def test_under_two_replicas(new_model, pairs, tmp_path, mirrored):
    config = dataclasses.replace(CONFIG, stages="", steps=3)
    with mirrored(2).scope():
        model = new_model()
    trained = pretrain(model, [pairs], [pairs], config, tmp_path / "run", held_out=[pairs])
    assert_same(load_run(tmp_path / "run"), trained)
    assert np.abs(weights(trained)[0] - weights(new_model())[0]).max() > 0.005


def test_in_bfloat16(read_once, new_model, pairs, tmp_path):
    config = dataclasses.replace(CONFIG, stages="", steps=3, precision="bfloat16")
    a = pretrain(new_model(), [pairs], [pairs], config, tmp_path / "bfloat16")
    config = dataclasses.replace(config, precision="float32")
    b = pretrain(new_model(), [pairs], [pairs], config, tmp_path / "float32")
    # Three steps of 0.01: near each other, and not equal.
    differences = [np.abs(x - y).max() for x, y in zip(weights(a), weights(b), strict=True)]
    assert 1e-5 < max(differences) < 0.06


def test_bad_depth_and_other_settings(new_model, pairs, tmp_path):
    with pytest.raises(ValueError, match=r"`num_layers` \(=1\) must be a multiple of the 2"):
        pretrain(new_model(2), [pairs], [pairs], CONFIG, tmp_path / "run")
    config = dataclasses.replace(CONFIG, stages="", steps=0)
    pretrain(new_model(), [pairs], [pairs], config, tmp_path / "run")
    other = dataclasses.replace(config, mask_rate=0.3)
    with pytest.raises(ValueError, match=r"settings.mask_rate was 0.15, now 0.3"):
        pretrain(new_model(), [pairs], [pairs], other, tmp_path / "run")
