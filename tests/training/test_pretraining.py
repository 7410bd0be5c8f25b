"""pretrain: what it learns; stages that are stacked, resumed, refused; what comes out of it."""

import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf

import labse_tf
from labse_tf.data.masked_text import read_masked
from labse_tf.data.masking import Masking
from labse_tf.encoder.masked_language_head import MaskedLanguageHead
from labse_tf.encoder.stacking import stack
from labse_tf.training.config import PretrainingConfig
from labse_tf.training.held_out_text import MaskedEvaluation, table
from labse_tf.training.preemption import Preempted
from labse_tf.training.pretrainer import Pretrainer
from labse_tf.training.pretraining import pretrain
from labse_tf.training.run_directory import load_run
from tests.training.test_fine_tuning import checkpoints, weights

CONFIG = PretrainingConfig(
    steps=8,
    batch_size=8,
    learning_rate=0.01,
    warmup_steps=1,
    stages="1:50%,2:50%",
    tlm_share=0.25,
    shuffle_buffer=100,
    checkpoint_every=3,
    report_every=2,
    evaluate_every=2,
    seed=3,
)
SUBJECTS, VERBS, OBJECTS = (
    text.split() for text in ("the Tom Wie Die", "cat sat saw was", "green mat apples time")
)


def write_pairs(path, count=120, seed=0):
    """Sentences of three words, of which each tells the other two; targets are those in reverse."""
    rng = np.random.default_rng(seed)
    with open(path, "w", encoding="utf-8") as file:
        for i in rng.integers(4, size=count):
            words = [SUBJECTS[i], VERBS[i], OBJECTS[i]]
            file.write(f"{' '.join(words)}\t{' '.join(words[::-1])}\n")
    return str(path)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("pairs") / "xx-yy.tsv")


@pytest.fixture(scope="module")
def new_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    path.write_text("\n".join([*special, *SUBJECTS, *VERBS, *OBJECTS]) + "\n")

    def make(num_layers=1):
        tf.random.set_seed(0)
        config = labse_tf.EncoderConfig.small(
            vocab_size=17, hidden_size=32, num_layers=num_layers, intermediate_size=64,
            max_positions=16, pooling="cls", initializer_range=0.05, dropout=0.0,
        )  # fmt: skip
        encoder = labse_tf.Encoder(config)
        rng = np.random.default_rng(1)
        for weight in encoder.weights:
            weight.assign(rng.normal(scale=0.05, size=weight.shape) + ("scale" in weight.name))
        return labse_tf.LaBSE(labse_tf.Preprocessor(path, 14), encoder)

    return make


def assert_same(a, b, atol=0.0):
    for x, y in zip(weights(a), weights(b), strict=True):
        np.testing.assert_allclose(x, y, atol=atol, rtol=0)


def read_head(config, stage, step):
    """The head of a checkpoint."""
    head = MaskedLanguageHead(config)
    status = tf.train.Checkpoint(head=head).read(str(stage / "checkpoints" / f"ckpt-{step}"))
    status.expect_partial().assert_existing_objects_matched()
    return head


def test_it_learns_and_stacking_loses_little(new_model, pairs, tmp_path, capfd):
    config = dataclasses.replace(
        CONFIG, steps=200, batch_size=32, stages="2:80%,4:20%", warmup_steps=10, tlm_share=0.75,
        checkpoint_every=100, report_every=20, evaluate_every=200,
    )  # fmt: skip
    held_out = write_pairs(tmp_path / "xx-yy.held.tsv", count=1000, seed=1)
    trained = pretrain(new_model(2), [pairs], [pairs], config, tmp_path, held_out=[held_out])
    lines = capfd.readouterr().out.splitlines()
    figures = [line.split() for line in lines if line.startswith(("xx ", "yy ", "mean "))]
    assert [f[0] for f in figures] == ["xx", "yy", "mean"] * 2
    # A guess among 12 words: 8.3% and 12.
    assert all(float(f[1].rstrip("%")) > 20 and float(f[2]) < 8 for f in figures[3:])

    # Untrained, each of 17 tokens is as likely: ln 17 = 2.83. Who does not look at the other words
    # knows at best which of the three places it is: ln 4 = 1.39.
    parent = load_run(tmp_path / "stage-1")
    head = read_head(parent.encoder.config, tmp_path / "stage-1", 160)
    batch = next(
        iter(
            read_masked(
                [held_out], [held_out], parent.preprocessor, Masking(parent.preprocessor), 100,
                tlm_share=0.75, seed=9,
            )
        )
    )  # fmt: skip

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


def test_stages_begin_as_the_last_one_ended(new_model, pairs, tmp_path):
    result = pretrain(new_model(), [pairs], [pairs], CONFIG, tmp_path / "run")
    assert checkpoints(tmp_path / "run" / "stage-1") == [0, 3, 4]
    assert checkpoints(tmp_path / "run" / "stage-2") == [0, 3, 4]
    start = load_run(tmp_path / "run" / "stage-2", 0)
    parent = load_run(tmp_path / "run" / "stage-1")
    expected = stack(parent.encoder, 2)
    assert_same(start, labse_tf.LaBSE(start.preprocessor, expected))
    assert_same(load_run(tmp_path / "run"), result)
    assert result.encoder.config.num_layers == 2

    # The head is in the checkpoints, and goes on from stage to stage.
    def head_of(stage, step):
        path = str(tmp_path / "run" / stage / "checkpoints" / f"ckpt-{step}")
        reader = tf.train.load_checkpoint(path)
        names = [n for n in reader.get_variable_to_shape_map() if n.startswith("head/")]
        return {n: reader.get_tensor(n) for n in names if "OPTIMIZER_SLOT" not in n}

    before, after, end = (head_of(*x) for x in (("stage-1", 4), ("stage-2", 0), ("stage-2", 4)))
    shapes = sorted(value.shape for value in before.values())
    assert shapes == [(17,), (32,), (32,), (32,), (32, 32)]  # its own, and no table
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)
        assert not np.array_equal(end[name], value)
    # A release of it is what translation ranking starts from.
    result.save(tmp_path / "release")
    assert_same(labse_tf.load(tmp_path / "release"), result)


def test_interrupted_in_any_stage(new_model, pairs, tmp_path, monkeypatch):
    whole = pretrain(new_model(), [pairs], [pairs], CONFIG, tmp_path / "whole")
    run = tmp_path / "run"
    for step, stages in ((2, ["stage-1"]), (4, ["stage-1", "stage-2"])):  # the 2nd, and the 2 + 4th
        asked = []

        def ask(self, asked=asked, step=step):
            asked.append(1)
            return len(asked) == step

        with monkeypatch.context() as patch:
            patch.setattr("labse_tf.training.preemption.Preemption.asked", ask)
            with pytest.raises(Preempted):
                pretrain(new_model(), [pairs], [pairs], CONFIG, run)
        assert sorted(os.listdir(run)) == stages
    resumed = pretrain(new_model(), [pairs], [pairs], CONFIG, run)
    assert_same(resumed, whole, atol=1e-6)
    # A finished run is only read back.
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert_same(pretrain(new_model(), [pairs], [pairs], CONFIG, run), resumed)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_evaluation_by_hand(new_model, tmp_path):
    # A head whose bias says "Tom" for sure but for 1 in 1 + 16 e^-3.
    model = new_model()
    pretrainer = Pretrainer(model.encoder)
    for weight in pretrainer.head.weights:
        weight.assign(tf.zeros_like(weight))
    bias = np.zeros(17)
    bias[6] = 3.0
    pretrainer.head.bias.assign(bias)
    (tmp_path / "deu-eng.tsv").write_text("Tom Tom Tom\tthe the the\n" * 40)
    (tmp_path / "eng.txt").write_text("Tom the\n" * 60)
    files = [tmp_path / "deu-eng.tsv", tmp_path / "eng.txt"]
    evaluation = MaskedEvaluation(files, model.preprocessor, Masking(model.preprocessor, 0.3))
    figures = evaluation(pretrainer)
    assert figures == evaluation(pretrainer)
    assert set(figures) == {
        f"{language}/{name}"
        for language in ("deu", "eng", "mean")
        for name in ("masked_accuracy", "perplexity")
    }
    rare = 1 / (np.exp(3) + 16)
    assert figures["deu/masked_accuracy"] == 1
    assert figures["deu/perplexity"] == pytest.approx(1 / (np.exp(3) * rare), rel=1e-5)
    # eng has 40 times "the the the" and 60 times "Tom the" in turn: 60 of 240 words are Tom.
    share = figures["eng/masked_accuracy"]
    assert share == pytest.approx(0.25, abs=0.12)
    expected = np.exp(-(share * np.log(np.exp(3) * rare) + (1 - share) * np.log(rare)))
    assert figures["eng/perplexity"] == pytest.approx(expected, rel=1e-4)
    assert figures["mean/masked_accuracy"] == pytest.approx((1 + share) / 2)
    assert table(figures).splitlines()[1].split() == ["deu", "100.0%", "1.8"]


def test_under_two_replicas(new_model, pairs, tmp_path, mirrored):
    config = dataclasses.replace(CONFIG, stages="", steps=3)
    with mirrored(2).scope():
        model = new_model()
    trained = pretrain(model, [pairs], [pairs], config, tmp_path / "run", held_out=[pairs])
    assert_same(load_run(tmp_path / "run"), trained)
    assert np.abs(weights(trained)[0] - weights(new_model())[0]).max() > 0.005


def test_in_bfloat16(new_model, pairs, tmp_path):
    config = dataclasses.replace(CONFIG, stages="", steps=3, precision="bfloat16")
    a = pretrain(new_model(), [pairs], [pairs], config, tmp_path / "bfloat16")
    config = dataclasses.replace(config, precision="float32")
    b = pretrain(new_model(), [pairs], [pairs], config, tmp_path / "float32")
    # Three steps of 0.01: near each other, and not equal.
    differences = [np.abs(x - y).max() for x, y in zip(weights(a), weights(b), strict=True)]
    assert 1e-5 < max(differences) < 0.06


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("mask_rate", 0.0, r"`mask_rate` \(=0.0\)"),
        ("tlm_share", 1.5, r"`tlm_share` \(=1.5\)"),
        ("max_predictions", -1, r"`max_predictions` \(=-1\)"),
        ("logits_mb", 0, r"`logits_mb` \(=0\)"),
        ("row_sparse", True, r"`row_sparse` \(=True\)"),
        ("ema_decay", 0.9, r"`ema_decay` \(=0.9\)"),
        ("stages", "2:50%,3:50%", "must be a multiple of the one before"),
        ("stages", "0:50%,3:50%", "must be a multiple of the one before"),
    ],
)
def test_bad_settings(field, value, said):
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(CONFIG, **{field: value})


def test_bad_depth_and_other_settings(new_model, pairs, tmp_path):
    with pytest.raises(ValueError, match=r"`num_layers` \(=1\) must be a multiple of the 2"):
        pretrain(new_model(2), [pairs], [pairs], CONFIG, tmp_path / "run")
    config = dataclasses.replace(CONFIG, stages="", steps=1, warmup_steps=0)
    pretrain(new_model(), [pairs], [pairs], config, tmp_path / "run")
    other = dataclasses.replace(config, mask_rate=0.3)
    with pytest.raises(ValueError, match=r"settings.mask_rate was 0.15, now 0.3"):
        pretrain(new_model(), [pairs], [pairs], other, tmp_path / "run")
