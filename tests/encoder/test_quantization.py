"""Word embeddings in int8, against NumPy: values, memory, releases in every reader."""

import json

import numpy as np
import pytest
import tensorflow as tf

import labse_tf
from labse_tf import Encoder, EncoderConfig
from labse_tf.encoder.masked_language_head import MaskedLanguageHead
from labse_tf.encoder.precision import computing_in, stored_as
from labse_tf.encoder.pruning import count_usage, prune
from labse_tf.encoder.quantization import scales_of
from labse_tf.encoder.weights import named_weights
from labse_tf.release.saved_model import write_split
from tests.conftest import SENTENCES
from tests.models import make_model

TEXTS = tf.constant(SENTENCES)


@pytest.fixture(scope="module")
def model(vocab_file, vocab_size):
    made = make_model(vocab_file, vocab_size, num_layers=1)
    words = made.encoder.embeddings.word.numpy()
    words[3] = 1e-40  # too small for a scale
    words[4] *= 1000
    made.encoder.embeddings.word.assign(words)
    return made


@pytest.fixture(scope="module")
def release(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("quantized") / "int8"
    model.save(path, weights_dtype="int8")
    return path


def quantized(words, part):
    """int8 rows and scales, a part of a row at a time."""
    rows, scales = [], []
    for row in words.reshape(-1, part):
        scale = max(abs(row)) / np.float32(127) if max(abs(row)) > 1e-30 else np.float32(1)
        scales.append(scale)
        rows.append([int(x) for x in np.rint(row / scale)])
    parts = len(scales) // len(words)
    return np.array(rows).reshape(words.shape), np.array(scales, np.float32).reshape(-1, parts)


def test_a_scale_for_every_64_numbers():
    for hidden, parts in ((16, 1), (64, 1), (128, 2), (768, 12), (100, 1)):
        rows = np.random.default_rng(0).normal(size=[7, hidden]).astype(np.float32)
        rows[2, :64] *= 100  # outliers cost the other numbers nothing
        expected = quantized(rows, hidden // parts)[1]
        np.testing.assert_allclose(scales_of(rows), expected, rtol=1e-6)
        config = EncoderConfig.small(7, hidden_size=hidden, num_layers=0)
        encoder = Encoder(config)
        encoder.embeddings.word.assign(rows)
        stored = stored_as(encoder, "int8")
        assert stored.embeddings.word_scale.shape == [7, parts]
        found = stored.embeddings.words(tf.range(7)).numpy()
        wrong = np.abs(found - rows).reshape(7, parts, -1).max(axis=2)
        assert (wrong <= expected / 2 * 1.0001).all() and wrong.max() > 0


@pytest.mark.parametrize("chunk", [None, 7 * 4 * 16])
def test_values(model, monkeypatch, chunk):
    if chunk is not None:  # 7 rows of 16
        monkeypatch.setattr(labse_tf.encoder.weights, "CHUNK_BYTES", chunk)
    words = model.encoder.embeddings.word.numpy()
    rows, scales = quantized(words, 16)
    assert np.abs(rows).max() == 127 and scales[3] == 1 and not rows[3].any()
    stored = stored_as(model.encoder, "int8")
    assert stored.embeddings.word.dtype == tf.int8
    np.testing.assert_array_equal(stored.embeddings.word, rows)
    np.testing.assert_allclose(stored.embeddings.word_scale, scales, rtol=1e-6)
    np.testing.assert_array_equal(scales_of(words), stored.embeddings.word_scale)
    assert {w.dtype for n, w in named_weights(stored).items() if "kernel" in n} == {tf.float16}
    back = stored_as(stored, "float32")
    assert back.embeddings.word_scale is None
    found = back.embeddings.word.numpy()
    np.testing.assert_allclose(found, rows * scales, rtol=1e-6)
    # Rounded to the nearest of 255 values.
    assert (np.abs(found - words) <= scales / 2 * 1.0001).all()
    half = stored_as(stored, "bfloat16").embeddings.word
    np.testing.assert_array_equal(half, tf.cast(found, tf.bfloat16))
    # To quantise it again changes nothing.
    again = stored_as(back, "int8")
    np.testing.assert_array_equal(again.embeddings.word, rows)


def test_the_kernels_are_those_of_float16(model):
    half, stored = (named_weights(stored_as(model.encoder, x)) for x in ("float16", "int8"))
    assert set(stored) - set(half) == {"embeddings/word_scale"}
    for name in set(half) - {"embeddings/word"}:
        np.testing.assert_array_equal(half[name], stored[name], err_msg=name)


def test_a_release_in_every_reader(model, release):
    loaded, served = labse_tf.load(release), tf.saved_model.load(str(release))
    assert {w.dtype.name for w in loaded.encoder.weights} == {"float32"}
    expected = loaded.encode(SENTENCES)
    cosines = np.sum(expected * model.encode(SENTENCES), axis=1)
    assert 0.9995 < cosines.min() < 1 - 1e-7
    packed = served.preprocessor(TEXTS)
    for found in (
        served(TEXTS),
        served.signatures["serving_default"](sentences=TEXTS)["embeddings"],
        tf.math.l2_normalize(served.encoder(packed)["default"], axis=1),
    ):
        np.testing.assert_allclose(found, expected, atol=2e-6)
    # It stays int8 in memory: nothing of the table's size is float.
    tables = [v for v in served.encoder.variables if v.shape == model.encoder.embeddings.word.shape]
    assert [v.dtype for v in tables] == [tf.int8]
    # Nothing is trained, rather than a few of the weights.
    assert list(served.trainable_variables) == list(served.encoder.trainable_variables) == []
    config = json.loads((release / "assets" / "labse.json").read_text())
    assert config["weights_dtype"] == "int8"


def test_what_was_loaded_is_trained_and_written_again(release, tmp_path):
    loaded = labse_tf.load(release)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(loaded.encoder(loaded.preprocessor(TEXTS))["default"] ** 2)
    assert None not in tape.gradient(value, loaded.encoder.trainable_weights)
    loaded.save(tmp_path / "again", weights_dtype="int8")
    np.testing.assert_array_equal(
        labse_tf.load(tmp_path / "again").encode(SENTENCES), loaded.encode(SENTENCES)
    )


def test_computing_in_bfloat16(model, tmp_path):
    stored = stored_as(model.encoder, "int8")
    assert computing_in(stored, "bfloat16").embeddings.word is stored.embeddings.word
    model.save(tmp_path / "both", weights_dtype="int8", compute_dtype="bfloat16")
    found = tf.saved_model.load(str(tmp_path / "both"))(TEXTS)
    assert np.sum(found * model.encode(SENTENCES), axis=1).min() > 0.999


def test_the_split_encoder(model, release, tmp_path):
    write_split(tmp_path / "two", model.preprocessor, model.encoder, weights_dtype="int8")
    preprocessor, encoder = (
        tf.saved_model.load(str(tmp_path / "two" / name)) for name in ("preprocessor", "encoder")
    )
    expected = tf.saved_model.load(str(release)).encoder(model.preprocessor(TEXTS))["default"]
    np.testing.assert_array_equal(encoder(preprocessor(TEXTS))["default"], expected)


def test_predictions_of_masked_words(vocab_file, vocab_size, tmp_path):
    model = make_model(vocab_file, vocab_size, num_layers=0)
    head = MaskedLanguageHead(model.encoder.config)
    head.bias.assign(np.linspace(-1, 1, vocab_size))
    model.save(tmp_path / "model", weights_dtype="int8", head=head)
    served = tf.saved_model.load(str(tmp_path / "model"))
    places = tf.ones([len(SENTENCES), 1], tf.int32)
    packed = model.preprocessor(TEXTS)
    found = served.encoder.mlm({**packed, "masked_lm_positions": places})
    hidden = head(found["sequence_output"][:, 1]).numpy()
    rows, scales = quantized(model.encoder.embeddings.word.numpy(), 16)
    expected = hidden @ (rows * scales).T + head.bias.numpy()
    np.testing.assert_allclose(found["mlm_logits"][:, 0], expected, rtol=1e-4, atol=1e-4)


def test_pruned(model):
    stored = stored_as(model.encoder, "int8")
    usage = count_usage(model.preprocessor, SENTENCES[:2])
    preprocessor, pruned = prune(model.preprocessor, stored, usage)
    assert preprocessor.vocab_size < model.preprocessor.vocab_size
    assert pruned.embeddings.word.dtype == tf.int8
    texts = tf.constant(SENTENCES[:2])
    np.testing.assert_array_equal(
        pruned(preprocessor(texts))["default"], stored(model.preprocessor(texts))["default"]
    )
