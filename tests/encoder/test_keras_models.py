"""Encoder and head as Keras layers: configs that round-trip, models loaded in a fresh process."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from labse_tf import Encoder, EncoderConfig
from labse_tf.encoder.encoder import INPUTS
from labse_tf.encoder.masked_language_head import MaskedLanguageHead
from tests.encoder.test_encoder import CONFIG, packed, randomised
from tests.fresh import fresh


def again(layer):
    """A layer from another's config, by way of JSON."""
    config = json.loads(json.dumps(layer.get_config()))
    other = type(layer).from_config(config)
    assert other.get_config() == layer.get_config()
    names = [(w.name, w.shape, w.dtype, w.trainable) for w in layer.weights]
    assert [(w.name, w.shape, w.dtype, w.trainable) for w in other.weights] == names
    return other


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dtype": "mixed_bfloat16", "name": "labse"},
        {"weights_dtype": "float16", "dtype": "mixed_bfloat16"},
        {"trainable": False},
    ],
)
def test_an_encoder_from_its_config(options):
    config = EncoderConfig.small(60, num_layers=1, activation="gelu_tanh", dropout=0.25)
    encoder = Encoder(config, **options)
    other = again(encoder)
    assert other.config == config
    assert other.name == options.get("name", "encoder")
    assert other.dtype_policy.name == options.get("dtype", "float32")
    assert len(other.trainable_weights) == (0 if "trainable" in options else len(other.weights))
    frozen = [layer.trainable for layer in (other.embeddings, *other.transformer)]
    assert frozen == [options.get("trainable", True)] * 2
    for target, weight in zip(other.weights, encoder.weights, strict=True):
        assert not np.array_equal(target, weight) or "kernel" not in weight.name  # new weights
        target.assign(weight)
    np.testing.assert_array_equal(other(packed())["default"], encoder(packed())["default"])


def test_a_global_policy_stays_with_the_encoder():
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        config = Encoder(CONFIG).get_config()
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    assert Encoder.from_config(config).compute_dtype == "bfloat16"


def test_a_head_from_its_config():
    for options in ({"seed": 3}, {"dtype": "mixed_bfloat16", "name": "mlm", "trainable": False}):
        head = MaskedLanguageHead(CONFIG, **options)
        other = again(head)
        # The kernel follows from the seed, and the rest is zeros and ones.
        tokens = tf.random.stateless_normal([5, CONFIG.hidden_size], [1, 2])
        np.testing.assert_array_equal(other(tokens), head(tokens))
        assert len(other.trainable_weights) == (0 if "trainable" in options else 5)
    assert np.abs(MaskedLanguageHead(CONFIG, seed=4).dense.kernel - head.dense.kernel).max() > 0.01


LOAD = """
import sys, numpy as np, tf_keras
from labse_tf import Encoder
with np.load("inputs.npz") as file:
    inputs = dict(file)
found = {}
for path in sys.argv[1:]:
    model = tf_keras.models.load_model(path)
    encoder = model.get_layer("labse")
    assert type(encoder) is Encoder, type(encoder)
    found[path] = model(inputs)
    found[path + "/dtype"] = encoder.compute_dtype
    found[path + "/trainable"] = len(model.trainable_weights)
np.savez("found.npz", **found)
"""


def test_models_are_saved_and_loaded(tmp_path):
    """In all of tf_keras' formats, by a process that has not made the model."""
    inputs, config = packed(), dataclasses.replace(CONFIG, num_layers=1)
    expected = {}
    for dtype, paths in (("float32", ("a.keras", "a.h5", "a")), ("mixed_bfloat16", ("b.keras",))):
        symbols = {name: tf_keras.Input([None], dtype="int32", name=name) for name in INPUTS}
        encoder = randomised(Encoder(config, dtype=dtype, name="labse"))
        pooled = encoder(symbols, pooled_only=True)["default"]
        model = tf_keras.Model(symbols, tf_keras.layers.Dense(2, dtype="float32")(pooled))
        for path in paths:
            model.save(tmp_path / path)
            expected[path] = model(inputs).numpy()
    np.savez(tmp_path / "inputs.npz", **{name: x.numpy() for name, x in inputs.items()})
    process = fresh("-c", LOAD, *expected, cwd=tmp_path, env={"PYTHONPATH": ""})
    assert process.returncode == 0, process.stderr[-3000:]
    with np.load(tmp_path / "found.npz") as found:
        for path, outputs in expected.items():
            np.testing.assert_array_equal(found[path], outputs, err_msg=path)
            assert np.ptp(outputs, axis=0).min() > 1e-3
            assert found[f"{path}/dtype"] == ("bfloat16" if path == "b.keras" else "float32")
            assert found[f"{path}/trainable"] == len(model.trainable_weights) == 21
