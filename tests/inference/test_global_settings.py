"""What is set for all of Keras or TensorFlow does not change what a loaded model computes."""

import contextlib
import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import labse_tf
from tests.conftest import SENTENCES


@contextlib.contextmanager
def policy(name):
    tf_keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")


@contextlib.contextmanager
def floatx(name):
    tf_keras.backend.set_floatx(name)
    try:
        yield
    finally:
        tf_keras.backend.set_floatx("float32")


@pytest.mark.parametrize(
    "setting",
    [policy("mixed_bfloat16"), policy("mixed_float16"), policy("float64"), floatx("float64")],
    ids=["mixed_bfloat16", "mixed_float16", "float64", "floatx"],
)
def test_precision_is_what_load_says(model, release, setting):
    expected = model.encode(SENTENCES)
    with setting:
        loaded = labse_tf.load(release)
        np.testing.assert_array_equal(loaded.encode(SENTENCES), expected)
        assert {weight.dtype for weight in loaded.encoder.weights} == {tf.float32}


def test_an_encoder_of_another_policy_says_which_precisions_there_are(model):
    with policy("float64"):
        encoder = labse_tf.Encoder(model.encoder.config)
    other = labse_tf.LaBSE(model.preprocessor, encoder)
    with pytest.raises(ValueError, match=r"to compute in float64, .* give `precision`"):
        other.encode(["a"])
    with policy("mixed_float16"):
        encoder = labse_tf.Encoder(model.encoder.config)
    other = labse_tf.LaBSE(model.preprocessor, encoder)
    half = other.encode(["a"])
    np.testing.assert_array_equal(half, other.encode(["a"], precision="float16"))
    assert (half @ other.encode(["a"], precision="float32").T).item() > 0.999


def test_rounded_weights_are_not_saved_as_float32(release, tmp_path):
    model = labse_tf.load(release, precision="bfloat16")
    model.save(tmp_path / "half")
    said = json.loads((tmp_path / "half" / "assets" / "labse.json").read_text())
    assert (said["weights_dtype"], said["compute_dtype"]) == ("bfloat16", "float32")
    again = labse_tf.load(tmp_path / "half", precision="bfloat16")
    np.testing.assert_array_equal(again.encode(SENTENCES), model.encode(SENTENCES))


def test_load_under_check_numerics(model, release, monkeypatch):
    expected = model.encode(SENTENCES)

    def with_nan(shape, dtype, init):
        return tf.fill(shape, tf.cast(np.nan, dtype))

    monkeypatch.setattr(tf.raw_ops, "Empty", with_nan)  # what it holds is by chance
    tf.debugging.enable_check_numerics()
    try:
        loaded = labse_tf.load(release)
        found = loaded.encode(SENTENCES)
    finally:
        tf.debugging.disable_check_numerics()
    np.testing.assert_allclose(found, expected, atol=1e-6)
