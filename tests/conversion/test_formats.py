"""Every format into every other, bit for bit; labse convert as a user runs it."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import labse_tf
from labse_tf.commands.main import main
from labse_tf.conversion.formats import FORMATS, convert, cosines_with
from labse_tf.encoder.precision import stored_as
from tests import model_garden as garden
from tests.conftest import SENTENCES
from tests.fresh import fresh
from tests.running import call

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def written(hub_model, tmp_path_factory):
    """A TF-Hub SavedModel, which only others write, in each of our formats."""
    folder = tmp_path_factory.mktemp("written")
    for to in FORMATS:
        convert(hub_model, folder / to, to)
    return folder


@pytest.fixture(scope="module")
def expected(hub_model):
    """What the TF-Hub model computes, normalised."""
    inputs = labse_tf.load(hub_model).preprocessor(tf.constant(SENTENCES))
    outputs = tf.saved_model.load(str(hub_model))([inputs[name] for name in garden.INPUTS])
    return tf.math.l2_normalize(outputs["pooled_output"], axis=1)


def assert_equal(a, b):
    assert a.encoder.config == b.encoder.config
    for x, y in zip(a.encoder.weights, b.encoder.weights, strict=True):
        np.testing.assert_array_equal(x, y, err_msg=x.name)
    assert a.preprocessor.lower_case == b.preprocessor.lower_case
    ids = [m.preprocessor(tf.constant(SENTENCES))["input_word_ids"] for m in (a, b)]
    np.testing.assert_array_equal(*ids)


@pytest.mark.parametrize("to", FORMATS)
def test_from_tf_hub(written, hub_model, expected, to):
    model = labse_tf.load(written / to)
    assert_equal(model, labse_tf.load(hub_model))
    np.testing.assert_allclose(model.encode(SENTENCES), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("first", "second"), itertools.combinations_with_replacement(FORMATS, 2))
def test_round_trips(written, expected, tmp_path, first, second):
    """There, back, and there again, which is a round trip of the second format's."""
    start, source = labse_tf.load(written / first), written / first
    for step, to in enumerate((second, first, second)[: 2 if first == second else 3]):
        convert(source, tmp_path / str(step), to)
        source = tmp_path / str(step)
        model = labse_tf.load(source)
        assert_equal(model, start)
        outputs = model.encoder(model.preprocessor(tf.constant(SENTENCES)))
        found = tf.math.l2_normalize(outputs["default"], axis=1)
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


def test_the_effect_of_half_precision(hub_model):
    model = labse_tf.load(hub_model)
    exact, half = cosines_with(model, "float32"), cosines_with(model, "bfloat16")
    assert exact.shape == half.shape == (64,)
    np.testing.assert_allclose(exact, 1, atol=1e-6)
    # The same by hand, for one sequence.
    ids = np.random.default_rng(0).integers(model.encoder.config.vocab_size, size=[64, 16])[:1]
    ids[0, 0], ids[0, -1] = model.preprocessor.start_id, model.preprocessor.end_id
    ones = np.ones_like(ids)
    inputs = dict(zip(garden.INPUTS, (tf.constant(x, tf.int32) for x in (ids, ones, 0 * ones))))
    a, b = (
        encoder(inputs)["default"].numpy()[0]
        for encoder in (model.encoder, stored_as(model.encoder, "bfloat16"))
    )
    assert half[0] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-6)
    assert 0.99 < half.min() < 1 - 1e-7


def test_the_command(hub_model, vocab_size, tmp_path):
    output = call(main, "convert", hub_model, tmp_path / "half", "--weights-dtype", "float16")
    first, second = output.splitlines()
    size = sum(p.stat().st_size for p in (tmp_path / "half").rglob("*") if p.is_file())
    assert first == (
        f"{tmp_path / 'half'}: saved-model, 2 layers of 24, {vocab_size:,} word pieces, "
        f"{size / 1e6:,.1f} MB"
    )
    cosines = cosines_with(labse_tf.load(hub_model), "float16")
    assert f"mean {cosines.mean():.7f}, lowest {cosines.min():.7f} (64 random" in second
    program = ROOT / "export" / "convert.py"
    process = fresh(program, hub_model, tmp_path / "hf", "--to", "hugging-face")
    assert process.returncode == 0, process.stderr[-3000:]
    assert process.stdout.startswith(f"{tmp_path / 'hf'}: hugging-face, 2 layers of 24, ")
    assert_equal(labse_tf.load(tmp_path / "hf"), labse_tf.load(hub_model))


def test_errors(hub_model, tmp_path):
    (tmp_path / "there").mkdir()
    message = call(main, "convert", hub_model, tmp_path / "there", status=2)
    assert message.startswith("error: ") and f"{str(tmp_path / 'there')!r} exists" in message
    flags = ["--to", "model-garden", "--weights-dtype", "float16"]
    message = call(main, "convert", hub_model, tmp_path / "x", *flags, status=2)
    assert "`weights_dtype` is for a saved-model" in message
    message = call(main, "convert", tmp_path / "there", tmp_path / "x", status=2)
    assert "no model that labse_tf knows" in message
    assert os.listdir(tmp_path) == ["there"] and os.listdir(tmp_path / "there") == []
    with pytest.raises(ValueError, match="must be one of"):
        convert(hub_model, tmp_path / "x", "onnx")
