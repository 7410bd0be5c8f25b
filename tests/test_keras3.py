"""LaBSELayer, as a Keras 3 user has it: in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from labse_tf.commands.main import main
from labse_tf.keras3 import LaBSELayer
from tests.conftest import SENTENCES
from tests.running import call

ROOT = Path(__file__).parents[1]
LONGER = [*SENTENCES, "the cat " * 30, "x"]


@pytest.fixture(scope="module")
def seen(model, release, tmp_path_factory):
    folder = tmp_path_factory.mktemp("keras3")
    ids = model.preprocessor(tf.constant(LONGER))
    inputs = {"sentences": LONGER, "ids": {name: x.numpy().tolist() for name, x in ids.items()}}
    (folder / "inputs.json").write_text(json.dumps(inputs))
    command = [sys.executable, ROOT / "tests" / "consumers" / "keras3_classifier.py"]
    process = subprocess.run(
        [*command, release, "inputs.json", "seen.npz"],
        cwd=folder, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.returncode == 0, process.stderr[-4000:]
    with np.load(folder / "seen.npz") as results:
        return dict(results)


@pytest.fixture(scope="module")
def expected(model):
    raw = model.encoder(model.preprocessor(tf.constant(LONGER)))["default"].numpy()
    return raw / np.linalg.norm(raw, axis=1, keepdims=True)


def test_strings_and_ids(seen, expected):
    for name in ("layer", "column", "array", "ids", "ids/int64", "functional ids"):
        np.testing.assert_allclose(seen[name], expected, atol=2e-6, err_msg=name)
    for name in ("sequential", "bare"):
        np.testing.assert_allclose(seen[name], seen[f"{name}/by hand"], atol=1e-6)


def test_the_same_as_labse_encode(seen, release, tmp_path):
    (tmp_path / "sentences.txt").write_text("\n".join(LONGER) + "\n", encoding="utf-8")
    files = [tmp_path / "sentences.txt", "--output", tmp_path / "encoded.npy"]
    call(main, "encode", *files, "--model", release)
    embeddings = np.load(tmp_path / "encoded.npy")
    for name in ("layer", "ids", "functional ids", "mixed"):
        np.testing.assert_allclose(seen[name], embeddings, atol=1e-6, rtol=0)


def test_training_reaches_dropout(seen, expected):
    for name in ("training", "training again", "ids/training"):
        assert np.abs(seen[name] - expected).max() > 0.05
        np.testing.assert_allclose(np.linalg.norm(seen[name], axis=1), 1, atol=1e-5)
    assert np.abs(seen["training"] - seen["training again"]).max() > 0.05
    # As hub.KerasLayer: what is frozen runs as it is.
    np.testing.assert_allclose(seen["frozen layer/training"], expected, atol=2e-6)


def test_weights(seen, model):
    names = [w.name.removesuffix(":0").replace("/", "_") for w in model.encoder.weights]
    assert sorted(seen["names"]) == sorted(names)
    assert len(seen["paths"]) == len(names)
    assert seen["frozen layer/trainable"] == 0
    assert seen["frozen layer/weights"] == seen["thawed/trainable"] - 2 == len(names)


def test_fit_with_adam(seen, expected):
    first, last = seen["loose/loss"]
    assert last < first / 3 and seen["loose/right"].all()
    assert seen["loose/trainable"] == len(seen["loose/moved"]) and seen["loose/moved"].min() > 1e-3
    # What was trained is what is called: the embeddings are others now.
    assert np.abs(seen["loose/embeddings"] - expected).max() > 0.05
    assert seen["frozen/moved"].max() == 0 and seen["frozen/slots"] == 2 + 2 * 2


def test_saved_and_loaded(seen):
    np.testing.assert_array_equal(seen["loaded/scores"], seen["loose/scores"])
    np.testing.assert_array_equal(seen["weights file/scores"], seen["loose/scores"])
    assert seen["loaded/trainable"] == seen["loose/trainable"]
    assert len(seen["loaded/slots"]) == 2 + 2 * (seen["loose/trainable"] + 2)
    assert seen["loaded/slots"].min() > 0


def test_mixed_precision_is_left_alone(seen, expected):
    np.testing.assert_allclose(seen["mixed"], expected, atol=2e-6)
    assert seen["mixed/head"] == "float16" and list(seen["mixed/dtypes"]) == ["float32"]
    assert seen["mixed/finite"]


def test_keras_2_is_not_imported(seen):
    assert list(seen["imported"]) == []


def test_what_is_no_release(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        LaBSELayer(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty.*cannot be loaded"):
        LaBSELayer(tmp_path / "empty")
    # As the encoder of `--split`, which has no preprocessor.
    half = tf.train.Checkpoint(encoder=tf.Variable(1.0))
    tf.saved_model.save(half, str(tmp_path / "half"))
    with pytest.raises(ValueError, match=r"no release.*preprocessor"):
        LaBSELayer(tmp_path / "half")


def test_int8_is_not_trained_a_little():
    with pytest.raises(ValueError, match=r"int8, which .* `labse convert labse-mini DIR --weights"):
        LaBSELayer("labse-mini", trainable=True)
    layer = LaBSELayer("labse-mini")
    rows = layer(tf.constant(["Wo ist der Bahnhof?", "Where is the station?"]), training=True)
    assert rows[0].numpy() @ rows[1].numpy() > 0.5
    # What was saved as trainable can still be read, and embed.
    layer = LaBSELayer.from_config({**layer.get_config(), "trainable": True})
    assert layer(tf.constant(["a"])).shape == (1, 256) and len(layer.weights) == 4
    with pytest.raises(ValueError, match="which cannot be trained"):
        layer(tf.constant(["a"]), training=True)


def test_what_is_no_sentence(release):
    layer = LaBSELayer(release)
    assert layer.weights and not layer.trainable_weights  # by default, as hub.KerasLayer
    with pytest.raises(ValueError, match=r"takes strings.*float32"):
        layer(tf.ones([2, 3]))
    with pytest.raises(ValueError, match="input_mask"):
        layer({"input_word_ids": tf.ones([2, 3], tf.int32)})
    spec = layer.compute_output_spec(keras.KerasTensor([None], "string"))
    assert spec.shape == (None, 16) and spec.dtype == "float32"
