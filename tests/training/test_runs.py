"""Runs of fine_tune that grow, are watched, end early, or train a part."""

import dataclasses
import json
import os
import sys

import numpy as np
import pytest
import tensorflow as tf

import labse_tf
from labse_tf.training.config import FineTuningConfig
from labse_tf.training.fine_tuning import fine_tune
from labse_tf.training.held_out_pairs import HeldOutPairs
from labse_tf.training.run_directory import load_run
from labse_tf.training.stages import parse_stages
from tests.training.test_fine_tuning import CONFIG, checkpoints, make_model, weights, write_pairs


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("pairs") / "a-b.tsv")


@pytest.fixture
def new_model(vocab_file, vocab_size):
    return lambda: make_model(vocab_file, vocab_size)


def assert_same(a, b, atol=0.0):
    for x, y in zip(weights(a), weights(b), strict=True):
        np.testing.assert_allclose(x, y, atol=atol, rtol=0)


def test_stages_by_hand():
    stages = parse_stages("0:20%, 2:30%,6:50%", 1001)
    assert [stage[1:] for stage in stages] == [(0, 0, 200), (2, 200, 300), (6, 500, 501)]
    assert [stage.name for stage in stages] == ["stage-1", "stage-2", "stage-3"]
    assert parse_stages("", 7) == [("", None, 0, 7)]
    for text, reason in [
        ("0:20%,2", "must be like"),
        ("0:20%,2:30%", "50%, not 100%"),
        ("2:50%,2:50%", "must increase"),
        ("0:0.01%,2:99.99%", "has none of the 1001 steps"),
    ]:
        with pytest.raises(ValueError, match=reason):
            parse_stages(text, 1001)


def test_a_run_of_stages(new_model, pairs, vocab_file, tmp_path):
    """Each begins as the last one ended, and goes on with the data where that one ended."""
    config = dataclasses.replace(CONFIG, stages="1:50%,3:50%")
    grown = fine_tune(new_model(), [pairs], config, tmp_path / "run")
    assert grown.encoder.config.num_layers == 3
    assert checkpoints(tmp_path / "run" / "stage-1") == [0, 4, 6]
    assert checkpoints(tmp_path / "run" / "stage-2") == [0, 4, 6]
    first = load_run(tmp_path / "run" / "stage-1")
    start = load_run(tmp_path / "run" / "stage-2", 0)
    assert start.encoder.config.num_layers == 3
    sentences = ["The cat sat.", "green apples"]
    np.testing.assert_allclose(start.encode(sentences), first.encode(sentences), atol=1e-5)
    assert np.abs(grown.encode(sentences) - first.encode(sentences)).max() > 1e-3
    assert_same(load_run(tmp_path / "run"), grown)
    # Started again, every stage is read back; from the end of the first one, the second is run.
    assert_same(fine_tune(new_model(), [pairs], config, tmp_path / "run"), grown)
    os.rename(tmp_path / "run" / "stage-2", tmp_path / "elsewhere")
    assert_same(fine_tune(new_model(), [pairs], config, tmp_path / "run"), grown, atol=1e-6)
    with pytest.raises(ValueError, match=r"holds a run with `stages`"):
        fine_tune(new_model(), [pairs], CONFIG, tmp_path / "run")
    fine_tune(new_model(), [pairs], CONFIG, tmp_path / "plain")
    with pytest.raises(ValueError, match=r"holds a run without `stages`"):
        fine_tune(new_model(), [pairs], config, tmp_path / "plain")


def test_held_out_pairs_and_the_end_of_patience(new_model, pairs, tmp_path, monkeypatch, capfd):
    """P@1 as counted by hand; when it does not rise for 2 measurements, the best one is kept."""
    model = new_model()
    found = [0.25, 0.5, 0.5, 0.4, 0.9]
    best = {}

    def measure(self):
        if len(found) == 4:
            best["weights"] = weights(model)
        return found.pop(0)

    counted = HeldOutPairs.measure
    monkeypatch.setattr(HeldOutPairs, "measure", measure)
    config = dataclasses.replace(CONFIG, evaluate_every=2, patience=2)
    fine_tune(model, [pairs], config, tmp_path / "run", held_out=[pairs])
    assert found == [0.9]  # ended after the measurement of step 8
    assert checkpoints(tmp_path / "run") == [0, 4, 8]
    assert "8/12 - held-out P@1: 40.00%" in capfd.readouterr().out
    for a, b in zip(weights(model), best["weights"], strict=True):
        np.testing.assert_array_equal(a, b)
    assert_same(load_run(tmp_path / "run"), model)
    again = new_model()
    fine_tune(again, [pairs], config, tmp_path / "run", held_out=[pairs])
    assert_same(again, model) and len(found) == 1

    few = write_pairs(tmp_path / "few.tsv", 20, seed=5)
    state = type("State", (), {"step": 0})()
    callback = HeldOutPairs(model, [few], state, config, parse_stages("", 1)[0])
    with open(few, encoding="utf-8") as file:
        x, y = (model.encode(side) for side in zip(*(line[:-1].split("\t") for line in file)))
    hits = [(s @ y.T).argmax() == i for i, s in enumerate(x)]
    hits += [(t @ x.T).argmax() == i for i, t in enumerate(y)]
    assert counted(callback) == pytest.approx(np.mean(hits))
    with pytest.raises(ValueError, match="no `held_out` files"):
        fine_tune(new_model(), [pairs], config, tmp_path / "other")


def test_tensorboard(new_model, pairs, tmp_path):
    fine_tune(new_model(), [pairs], CONFIG, tmp_path / "run", held_out=[pairs])
    (events,) = (tmp_path / "run" / "logs").iterdir()
    series = {}
    for event in tf.compat.v1.train.summary_iterator(str(events)):
        for value in event.summary.value:
            series.setdefault(value.tag, {})[event.step] = float(tf.make_ndarray(value.tensor))
    names = {"loss", "negatives", "gradient_norm", "pairs/s", "learning_rate", "held_out_p_at_1"}
    assert set(series) == names
    assert list(series["loss"]) == [2, 4, 6, 8, 10, 12]
    # Up to 0.01 in 2 steps, then down over 10: after step 6, that of the step just taken.
    assert series["learning_rate"][6] == pytest.approx(0.01 * (12 - 5) / 10, rel=1e-5)
    assert list(series["held_out_p_at_1"]) == [12]


def test_moving_averages_are_the_result(new_model, pairs, tmp_path):
    """The average of what a run without one goes through, from the first weights on."""
    expected = [w.astype(np.float64) for w in weights(new_model())]
    config = dataclasses.replace(CONFIG, weight_decay=0.0)
    steps = dataclasses.replace(config, checkpoint_every=1, keep_checkpoints=20)
    plain = fine_tune(new_model(), [pairs], steps, tmp_path / "plain")
    for step in range(1, 13):
        now = weights(load_run(tmp_path / "plain", step))
        expected = [0.8 * e + 0.2 * w for e, w in zip(expected, now, strict=True)]
    averaged = fine_tune(
        new_model(), [pairs], dataclasses.replace(config, ema_decay=0.8), tmp_path / "run"
    )
    for a, b in zip(weights(averaged), expected, strict=True):
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
    fine_tune(model, [pairs], dataclasses.replace(CONFIG, ema_decay=0.5, **options), tmp_path / "a")
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
    config = dataclasses.replace(CONFIG, hard_negatives=1, chunk_size=2)
    fine_tune(new_model(), [tmp_path / "three.tsv"], config, tmp_path / "run")
    dataset = labse_tf.read_pairs(
        tmp_path / "three.tsv", new_model().preprocessor, 8, hard_negatives=1, seed=3
    )
    source, target, negative = next(iter(dataset))
    rows = [line[:-1].split("\t") for line in open(tmp_path / "three.tsv", encoding="utf-8")]
    preprocessor = new_model().preprocessor
    known = {tuple(pieces(preprocessor, row)) for row in rows}
    read = [tuple(map(ids_of, sides)) for sides in zip(*map(unpacked, (source, target, negative)))]
    assert len(read) == 8 and set(read) <= known
    with pytest.raises(ValueError, match=r"three.tsv:1: expected 4 columns .*2 hard negatives"):
        labse_tf.read_pairs(tmp_path / "three.tsv", preprocessor, 8, hard_negatives=2)


def pieces(preprocessor, sentences):
    return [tuple(row) for row in preprocessor.word_pieces(tf.constant(sentences)).to_list()]


def unpacked(side):
    ids, mask = side["input_word_ids"].numpy(), side["input_mask"].numpy()
    return [row[: int(n)] for row, n in zip(ids, mask.sum(1))]


def ids_of(row):
    return tuple(map(int, row[1:-1]))


def test_what_a_run_says_of_itself(new_model, pairs, tmp_path):
    fine_tune(new_model(), [pairs], CONFIG, tmp_path / "run")
    run = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (
        FineTuningConfig(
            **{k: v for k, v in run["settings"].items() if k not in ("pairs", "held_out")}
        )
        == CONFIG
    )
    assert run["settings"]["pairs"] == [os.path.abspath(pairs)]
    assert run["system"]["labse_tf"] == labse_tf.__version__
    assert run["system"]["tensorflow"] == tf.__version__ and run["system"]["command"] == sys.argv
    assert len(run["vocabulary_sha256"]) == 64
    # Another version goes on with the run: it is said, not compared.
    run["system"]["python"] = "3.9"
    (tmp_path / "run" / "config.json").write_text(json.dumps(run))
    fine_tune(new_model(), [pairs], CONFIG, tmp_path / "run")


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
    with pytest.raises(ValueError, match=r"`precision` \(='float16'\)"):
        dataclasses.replace(config, precision="float16")


def test_dropout_is_the_same_in_both_passes_of_a_chunk(vocab_size):
    """Against one differentiated pass in the same chunks, with the same seeds."""
    from labse_tf.losses.ranking import token_fingerprint
    from labse_tf.training.gradient_caching import _fold

    tf.random.set_seed(0)
    config = labse_tf.EncoderConfig.small(30, num_layers=1, dropout=0.3)
    model = labse_tf.DualEncoder(labse_tf.Encoder(config), chunk_size=2)
    model.compile("sgd")
    rng = np.random.default_rng(0)
    sides = []
    for _ in range(2):
        ids = tf.constant(rng.integers(1, 30, [6, 5]), tf.int32)
        sides.append(
            dict(
                input_word_ids=ids,
                input_mask=tf.ones_like(ids),
                input_type_ids=tf.zeros_like(ids),
            )
        )
    loss, _, gradients = tf.function(model.gradients)(tuple(sides))
    seeds = model._seeds(2)
    variables = model.encoder.trainable_weights
    with tf.GradientTape() as tape:
        embeddings = [
            tf.concat(
                [
                    model._embed(
                        {k: v[i : i + 2] for k, v in side.items()}, _fold(seed, i // 2), False
                    )
                    for i in (0, 2, 4)
                ],
                axis=0,
            )
            for side, seed in zip(sides, seeds)
        ]
        prints = [token_fingerprint(s["input_word_ids"], s["input_mask"]) for s in sides]
        expected, _ = model.ranking_loss(*embeddings, *prints)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    for a, b in zip(gradients, tape.gradient(expected, variables), strict=True):
        a, b = tf.convert_to_tensor(a), tf.convert_to_tensor(b)
        np.testing.assert_allclose(a, b, atol=1e-5 * max(1, np.abs(b).max()))
    plain = [np.array(e) for e in model(tuple(sides))]
    assert max(np.abs(p - e).max() for p, e in zip(plain, embeddings)) > 0.01  # it does drop
