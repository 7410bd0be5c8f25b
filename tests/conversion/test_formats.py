"""Every format into every other, bit for bit; labse convert as a user runs it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import labse_tf
from labse_tf.conversion.formats import FORMATS, convert, cosines_with
from labse_tf.encoder.precision import stored_as
from tests import model_garden as garden
from tests.conftest import SENTENCES

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tf_hub(vocab_file, vocab_size, tmp_path_factory):
    """A TF-Hub SavedModel: the format that only others write."""
    path = tmp_path_factory.mktemp("conversion") / "hub"
    encoder = garden.make_encoder(garden.bert_config(vocab_size))
    garden.export_for_tf_hub(encoder, vocab_file, path)
    return path


@pytest.fixture(scope="module")
def written(tf_hub, tmp_path_factory):
    """The model in each of our formats."""
    folder = tmp_path_factory.mktemp("written")
    for to in FORMATS:
        convert(tf_hub, folder / to, to)
    return folder


def assert_equal(a, b):
    assert a.encoder.config == b.encoder.config
    for x, y in zip(a.encoder.weights, b.encoder.weights, strict=True):
        np.testing.assert_array_equal(x, y, err_msg=x.name)
    assert a.preprocessor.lower_case == b.preprocessor.lower_case
    ids = [m.preprocessor(tf.constant(SENTENCES))["input_word_ids"] for m in (a, b)]
    np.testing.assert_array_equal(*ids)


@pytest.mark.parametrize("first", FORMATS)
@pytest.mark.parametrize("second", FORMATS)
def test_round_trips(written, tf_hub, tmp_path, first, second):
    convert(written / first, tmp_path / "there", second)
    there = labse_tf.load(tmp_path / "there")
    assert_equal(there, labse_tf.load(written / first))
    convert(tmp_path / "there", tmp_path / "back", first)
    assert_equal(labse_tf.load(tmp_path / "back"), there)
    # And all of them are what the TF-Hub model computes.
    theirs = tf.saved_model.load(str(tf_hub))
    inputs = there.preprocessor(tf.constant(SENTENCES))
    expected = theirs([inputs[name] for name in garden.INPUTS])["pooled_output"]
    expected = tf.math.l2_normalize(expected, axis=1)
    np.testing.assert_allclose(there.encode(SENTENCES), expected, atol=1e-5, rtol=0)


def test_the_effect_of_half_precision(tf_hub):
    model = labse_tf.load(tf_hub)
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


def run(*command, status=0):
    process = subprocess.run(
        [str(part) for part in command], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert process.returncode == status, process.stderr[-3000:]
    return process.stdout if status == 0 else process.stderr.strip().splitlines()[-1]


def labse(*arguments, status=0):
    return run(Path(sys.executable).parent / "labse", *arguments, status=status)


def test_the_command(tf_hub, vocab_size, tmp_path):
    output = labse("convert", tf_hub, tmp_path / "half", "--weights-dtype", "float16")
    first, second = output.splitlines()
    size = sum(p.stat().st_size for p in (tmp_path / "half").rglob("*") if p.is_file())
    assert first == (
        f"{tmp_path / 'half'}: saved-model, 2 layers of 24, {vocab_size:,} word pieces, "
        f"{size / 1e6:,.1f} MB"
    )
    cosines = cosines_with(labse_tf.load(tf_hub), "float16")
    assert f"mean {cosines.mean():.7f}, lowest {cosines.min():.7f} (64 random" in second
    output = run(
        sys.executable, "export/convert.py", tf_hub, tmp_path / "hf", "--to", "hugging-face"
    )
    assert output.startswith(f"{tmp_path / 'hf'}: hugging-face, 2 layers of 24, ")
    assert_equal(labse_tf.load(tmp_path / "hf"), labse_tf.load(tf_hub))


def test_errors(tf_hub, tmp_path):
    (tmp_path / "there").mkdir()
    message = labse("convert", tf_hub, tmp_path / "there", status=2)
    assert message.startswith("error: ") and f"{str(tmp_path / 'there')!r} exists" in message
    message = labse(
        "convert", tf_hub, tmp_path / "x", "--to", "model-garden", "--weights-dtype", "float16",
        status=2,
    )  # fmt: skip
    assert "`weights_dtype` is for a saved-model" in message
    message = labse("convert", tmp_path / "there", tmp_path / "x", status=2)
    assert "no model that labse_tf knows" in message
    assert os.listdir(tmp_path) == ["there"] and os.listdir(tmp_path / "there") == []
    with pytest.raises(ValueError, match="must be one of"):
        convert(tf_hub, tmp_path / "x", "onnx")
