"""LaBSE.encode and similarity against one sentence at a time; what is no sentence."""

import warnings

import numpy as np
import pytest
import tensorflow as tf

import labse_tf
from tests.conftest import SENTENCES
from tests.models import SEQ_LENGTH


def alone(model, sentence):
    """One sentence at the full width, normalised by NumPy."""
    row = model.encoder(model.preprocessor([sentence]))["default"].numpy()[0]
    return row / np.linalg.norm(row)


def test_rows_in_order_whatever_the_batches(model):
    rng = np.random.default_rng(0)
    words = "the cat Tom green a s".split()
    sentences = [" ".join(rng.choice(words, rng.integers(0, 20))) for _ in range(200)] + SENTENCES
    expected = np.stack([alone(model, sentence) for sentence in sentences])
    for batch_tokens in (1, 100, 4096):
        embeddings = model.encode(sentences, batch_tokens=batch_tokens)
        assert embeddings.dtype == np.float32
        np.testing.assert_allclose(embeddings, expected, atol=2e-6)


def test_windows_of_sentences(model, monkeypatch):
    monkeypatch.setattr("labse_tf.inference.windows.WINDOW", 3)
    expected = np.stack([alone(model, sentence) for sentence in SENTENCES])
    np.testing.assert_allclose(model.encode(iter(SENTENCES)), expected, atol=2e-6)


def test_similarity_is_the_cosine(model):
    a, b = SENTENCES[:3], SENTENCES[2:]
    expected = [[alone(model, x) @ alone(model, y) for y in b] for x in a]
    np.testing.assert_allclose(model.similarity(a, b), expected, atol=2e-6)


def test_empty_sentences_are_legal_and_so_is_none_at_all(model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        packed = model.preprocessor([""])
        assert packed["input_mask"].numpy().sum() == 2
        start_end = [model.preprocessor.start_id, model.preprocessor.end_id]
        assert packed["input_word_ids"][0, :2].numpy().tolist() == start_end
        np.testing.assert_allclose(model.encode([""])[0], alone(model, ""), atol=2e-6)
        assert model.encode([]).shape == (0, 16)


def test_long_sentences_are_counted_in_one_warning(model):
    fits, long = "a " * (SEQ_LENGTH - 2), "a " * (SEQ_LENGTH - 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        embeddings = model.encode([fits, long, "a", long + "Tom"])
    assert [str(w.message)[:14] for w in caught] == ["2 of 4 sentenc"]
    assert f"(={SEQ_LENGTH})" in str(caught[0].message)
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(embeddings[1], embeddings[3])
    np.testing.assert_allclose(embeddings[0], embeddings[1], atol=1e-6)  # cut to the very same


@pytest.mark.parametrize(
    ("sentences", "error", "said"),
    [
        (["a", None], TypeError, "Sentence 1 is not a string, but NoneType: None"),
        (["a", "b", 7], TypeError, "Sentence 2 is not a string, but int: 7"),
        (["a", b"b"], TypeError, "Sentence 1 is not a string, but bytes"),
        (["a", float("nan")], TypeError, "Sentence 1 is not a string, but float"),
        ("one string", TypeError, "Put it in a list"),
        (["a", "\ud800"], ValueError, "Sentence 1 cannot be written as UTF-8"),
    ],
)
def test_what_is_no_sentence(model, sentences, error, said):
    with pytest.raises(error, match=said):
        model.encode(sentences)


def test_parts_that_do_not_fit(model, vocab_file, vocab_size):
    with pytest.raises(ValueError, match=rf"has {vocab_size} tokens, .*`vocab_size` is 7"):
        labse_tf.LaBSE(model.preprocessor, labse_tf.Encoder(labse_tf.EncoderConfig.small(7)))
    with pytest.raises(ValueError, match=r"`seq_length` \(=33\).*`max_positions` \(=32\)"):
        labse_tf.LaBSE(labse_tf.Preprocessor(vocab_file, 33), model.encoder)
    with pytest.raises(ValueError, match=r"`batch_tokens` \(=0\)"):
        model.encode(["a"], batch_tokens=0)


def test_encode_traces_once(model):
    model.encode(["a", "the cat", "Tom " * 9])
    model.encode(SENTENCES * 3, batch_tokens=64)
    graph = model._windows["float32"].run.graph
    assert graph.experimental_get_tracing_count() == 1
    assert tf.config.functions_run_eagerly() is False


def test_similarity_of_embeddings(model):
    """As in sentence-transformers: of what was embedded before, of any length."""
    rows = model.encode(SENTENCES[:3])
    expected = model.similarity(SENTENCES[:3], SENTENCES[3:5])
    for given in (rows, list(rows), 7 * rows.astype(np.float64), tf.constant(rows)):
        found = model.similarity(given, SENTENCES[3:5])
        np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(np.diag(model.similarity(rows, rows)), 1, atol=1e-6)
    with pytest.raises(
        ValueError, match=r"`b` is an array of the shape \[3, 15\], but .* \[n, 16\]"
    ):
        model.similarity(rows, rows[:, 1:])
    with pytest.raises(TypeError, match=r"Sentence 0 is not a string, but list: ") as error:
        model.similarity(rows.tolist(), rows)
    assert len(str(error.value)) < 200
    assert model.similarity(np.array(["Tom"]), ["Tom"]).item() == pytest.approx(1, abs=1e-6)
