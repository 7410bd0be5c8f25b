"""fine_tune: what it learns; runs that grow, train a part, average, or go wrong."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import labse_tf
from labse_tf.losses.ranking import AdditiveMarginRankingLoss
from labse_tf.training.callbacks import Reports
from labse_tf.training.fine_tuning import fine_tune, make_loss
from labse_tf.training.run_directory import load_run
from tests.training.logs import read_logs
from tests.training.runs import CONFIG, assert_same, checkpoints, embed, weights, write_pairs


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
    assert embed(load_run(tmp_path / "run", 50), ["Tom"]) != pytest.approx(embed(model, ["Tom"]))


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


def test_no_step_starts_the_run(new_model, pairs, tmp_path):
    model = new_model()
    fine_tune(model, [pairs], dataclasses.replace(CONFIG, steps=0), tmp_path / "run")
    assert checkpoints(tmp_path / "run") == [0]
    for a, b in zip(weights(load_run(tmp_path / "run")), weights(new_model()), strict=True):
        np.testing.assert_array_equal(a, b)


def test_tensorboard(finished):
    series = read_logs(finished[0])
    names = {"loss", "negatives", "gradient_norm", "pairs/s", "learning_rate", "held_out_p_at_1"}
    assert set(series) == {*names, "cut_sentences"}
    assert series["cut_sentences"] == pytest.approx(dict.fromkeys(series["loss"], 1 / 200))
    assert list(series["loss"]) == [2, 4, 6, 8, 10, 12]
    # Up to 0.01 in 2 steps, then down over 10: after step 6, that of the step just taken.
    assert series["learning_rate"][6] == pytest.approx(0.01 * (12 - 5) / 10, rel=1e-5)
    assert list(series["held_out_p_at_1"]) == [12]


def test_a_loss_that_is_not_finite(new_model, pairs, tmp_path):
    """Weights are NaN after step 5; the file holds what was read for step 6."""
    model = new_model()
    report = Reports.on_train_batch_end

    def spoil(self, batch, logs=None):
        report(self, batch, logs)
        if batch == 4:
            model.encoder.weights[0].assign(np.nan * model.encoder.weights[0])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reports, "on_train_batch_end", spoil)
        with pytest.raises(FloatingPointError, match=r"step 6 is nan.*ckpt-4.*step-6.npz") as error:
            fine_tune(model, [pairs], CONFIG, tmp_path / "run")
    assert str(tmp_path / "run" / "not-finite-step-6.npz") in str(error.value)
    expected = labse_tf.read_pairs(
        pairs, model.preprocessor, 8, seed=3, skip=5, shuffle_buffer=CONFIG.shuffle_buffer
    )
    source, target = next(iter(expected))
    with np.load(tmp_path / "run" / "not-finite-step-6.npz") as written:
        for i, side in enumerate((source, target)):
            for name, ids in side.items():
                np.testing.assert_array_equal(written[f"{i}/{name}"].reshape(ids.shape), ids)
    assert checkpoints(tmp_path / "run") == [0, 4]
    assert all(np.isfinite(w).all() for w in weights(load_run(tmp_path / "run")))


def test_fewer_pairs_than_a_batch(new_model, tmp_path):
    few = write_pairs(tmp_path / "few.tsv", count=7)
    with pytest.raises(ValueError, match="hold 7 pairs, fewer than one global batch of 8"):
        fine_tune(new_model(), [few], CONFIG, tmp_path / "run")
    # Nothing was written, so the same directory will do for other settings.
    assert not (tmp_path / "run").exists()
    other = dataclasses.replace(CONFIG, batch_size=4, steps=0)
    fine_tune(new_model(), [few], other, tmp_path / "run")
    assert checkpoints(tmp_path / "run") == [0]
    settings = json.loads((tmp_path / "run" / "config.json").read_text())["settings"]
    assert settings["batch_size"] == 4


def test_one_path_and_a_loss_of_its_own(new_model, pairs, tmp_path):
    """A path needs no list around it; a loss is taken as it is, and its options are the run's."""
    config = dataclasses.replace(CONFIG, steps=0)
    loss = AdditiveMarginRankingLoss(0.1, 10.0, mask_duplicates=False)
    fine_tune(new_model(0), Path(pairs), config, tmp_path / "a", held_out=pairs, loss=loss)
    settings = json.loads((tmp_path / "a" / "config.json").read_text())["settings"]
    assert settings["pairs"] == settings["held_out"] == [os.path.abspath(pairs)]
    assert {name: settings[name] for name in loss.get_config()} == loss.get_config()
    # The same run, its options in the configuration.
    config = dataclasses.replace(config, margin=0.1, mask_duplicates=False)
    fine_tune(new_model(0), [pairs], config, tmp_path / "a", held_out=[pairs])
    with pytest.raises(ValueError, match=r"`margin` .* \(=0.2\) is not that of the loss \(=0.1\)"):
        other = dataclasses.replace(config, margin=0.2)
        fine_tune(new_model(0), [pairs], other, tmp_path / "b", loss=loss)
    assert not (tmp_path / "b").exists()


def test_the_loss_of_a_configuration():
    config = dataclasses.replace(CONFIG, margin=0.1, bidirectional=False, mask_duplicates=False)
    expected = AdditiveMarginRankingLoss(0.1, CONFIG.scale, False, False).get_config()

    class Other(AdditiveMarginRankingLoss):
        """A user's own."""

    loss = make_loss(Other, config)
    assert type(loss) is Other and loss.get_config() == expected
    assert make_loss(AdditiveMarginRankingLoss, CONFIG).get_config() == {
        **expected, "margin": 0.3, "bidirectional": True, "mask_duplicates": True
    }  # fmt: skip


def test_stages(new_model, pairs, finished, tmp_path):
    """Each begins as the last one ended, and goes on with the data where that one ended."""
    config = dataclasses.replace(CONFIG, stages="0:50%,2:50%")
    grown = fine_tune(new_model(0), [pairs], config, tmp_path / "run")
    assert grown.encoder.config.num_layers == 2
    assert checkpoints(tmp_path / "run" / "stage-1") == [0, 4, 6]
    assert checkpoints(tmp_path / "run" / "stage-2") == [0, 4, 6]
    first = load_run(tmp_path / "run" / "stage-1")
    start = load_run(tmp_path / "run" / "stage-2", 0)
    assert (first.encoder.config.num_layers, start.encoder.config.num_layers) == (0, 2)
    sentences = ["The cat sat.", "green apples"]
    np.testing.assert_allclose(embed(start, sentences), embed(first, sentences), atol=1e-5)
    assert np.abs(embed(grown, sentences) - embed(first, sentences)).max() > 1e-3
    assert_same(load_run(tmp_path / "run"), grown)
    # Started again, every stage is read back; from the end of the first one, the second is run.
    assert_same(fine_tune(new_model(0), [pairs], config, tmp_path / "run"), grown)
    os.rename(tmp_path / "run" / "stage-2", tmp_path / "elsewhere")
    assert_same(fine_tune(new_model(0), [pairs], config, tmp_path / "run"), grown, atol=1e-6)
    with pytest.raises(ValueError, match=r"holds a run with `stages`"):
        fine_tune(new_model(0), [pairs], CONFIG, tmp_path / "run")
    with pytest.raises(ValueError, match=r"holds a run without `stages`"):
        fine_tune(new_model(0), [pairs], config, finished[0])


def test_moving_averages_are_the_result(new_model, pairs, tmp_path):
    """The average of what a run without one goes through, without the weights of the start.

    Also in the middle of the run, of words that did not occur in its last steps.
    """
    config = dataclasses.replace(CONFIG, weight_decay=0.0)
    steps = dataclasses.replace(config, checkpoint_every=1, keep_checkpoints=20)
    plain = fine_tune(new_model(), [pairs], steps, tmp_path / "plain")
    of_steps = [weights(load_run(tmp_path / "plain", step)) for step in range(1, 13)]

    def expected(step):
        shares = [0.8**-i for i in range(step)]
        return [np.average(w, axis=0, weights=shares) for w in zip(*of_steps[:step])]

    averaged = fine_tune(
        new_model(), [pairs], dataclasses.replace(config, ema_decay=0.8), tmp_path / "run"
    )
    for a, b in zip(weights(averaged), expected(12), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    for a, b in zip(weights(load_run(tmp_path / "run", 8)), expected(8), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert_same(load_run(tmp_path / "run"), averaged)
    assert max(np.abs(a - b).max() for a, b in zip(weights(averaged), weights(plain))) > 1e-3


@pytest.mark.parametrize(
    ("frozen", "options"),
    [
        ("embeddings/", {"freeze_embeddings": True}),
        ("layer_0/", {"freeze_layers": 1}),
    ],
)
def test_frozen_weights(new_model, pairs, tmp_path, frozen, options):
    model, start = new_model(), new_model()
    config = dataclasses.replace(CONFIG, steps=3, ema_decay=0.5, **options)
    fine_tune(model, [pairs], config, tmp_path / "a")
    for old, new in zip(start.encoder.weights, model.encoder.weights, strict=True):
        still = np.array_equal(old, new)
        assert still == (frozen in new.name), new.name
    assert_same(load_run(tmp_path / "a"), model)
    with pytest.raises(ValueError, match=r"`freeze_layers` \(=2\) is above the encoder's 1 layers"):
        fine_tune(model, [pairs], dataclasses.replace(CONFIG, freeze_layers=2), tmp_path / "b")


def test_hard_negatives_from_files(new_model, tmp_path):
    """The third column is read, its embeddings pushed away from the source's."""
    rng = np.random.default_rng(0)
    with open(tmp_path / "three.tsv", "w", encoding="utf-8") as file:
        for _ in range(40):
            a, b, c = (" ".join(rng.choice(["cat", "mat", "Tom", "apple"], 3)) for _ in range(3))
            file.write(f"{a} ?\t{b}\t{c} !\n")
    config = dataclasses.replace(CONFIG, steps=3, hard_negatives=1, chunk_size=2)
    fine_tune(new_model(0), [tmp_path / "three.tsv"], config, tmp_path / "run")
    assert checkpoints(tmp_path / "run") == [0, 3]
    preprocessor = new_model(0).preprocessor
    dataset = labse_tf.read_pairs(tmp_path / "three.tsv", preprocessor, 8, hard_negatives=1, seed=3)
    source, target, negative = next(iter(dataset))
    rows = [line[:-1].split("\t") for line in open(tmp_path / "three.tsv", encoding="utf-8")]
    known = {tuple(pieces(preprocessor, row)) for row in rows}
    read = [tuple(map(ids_of, sides)) for sides in zip(*map(unpadded, (source, target, negative)))]
    assert len(read) == 8 and set(read) <= known
    with pytest.raises(ValueError, match=r"three.tsv:1: expected 4 columns .*2 hard negatives"):
        labse_tf.read_pairs(tmp_path / "three.tsv", preprocessor, 8, hard_negatives=2)


def pieces(preprocessor, sentences):
    return [tuple(row) for row in preprocessor.word_pieces(tf.constant(sentences)).to_list()]


def unpadded(side):
    ids, mask = side["input_word_ids"].numpy(), side["input_mask"].numpy()
    return [row[: int(n)] for row, n in zip(ids, mask.sum(1))]


def ids_of(row):
    return tuple(map(int, row[1:-1]))


def test_bfloat16(new_model, pairs, tmp_path):
    """The same steps as float32, nearly; the weights themselves stay float32."""
    config = dataclasses.replace(CONFIG, learning_rate=1e-3)
    exact = fine_tune(new_model(), [pairs], config, tmp_path / "float32")
    rough = fine_tune(
        new_model(), [pairs], dataclasses.replace(config, precision="bfloat16"), tmp_path / "rough"
    )
    assert rough.encoder.compute_dtype == "float32"
    differences = [np.abs(a - b).max() for a, b in zip(weights(exact), weights(rough))]
    assert 0 < max(differences) < 0.02
