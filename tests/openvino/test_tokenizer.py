"""Word pieces by OpenVINO against the Preprocessor's, code point by code point."""

import gzip
import importlib.util
import random
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import labse_tf
from labse_tf.models import NAME, named
from labse_tf.openvino.tokenizer import OpenVINOWordPieces, can_tokenize
from labse_tf.tokenization.preprocessing import Preprocessor
from labse_tf.tokenization.vocabulary_files import ids_of, read_vocabulary

ROOT = Path(__file__).parents[2]
SMALL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "ab", "##b", "é"]
WAYS = {
    "google": dict(tokenization="google", max_word_bytes=100),
    "google, any length": dict(tokenization="google", max_word_bytes=None),
    "hugging-face": dict(tokenization="hugging-face", max_word_bytes=None),
}


def both(tokens, way):
    preprocessor = Preprocessor(tokens, 32, **WAYS[way])
    return preprocessor, OpenVINOWordPieces(ids_of(tokens), preprocessor.options)


def assert_same(preprocessor, word_pieces, sentences):
    expected = preprocessor.word_pieces(tf.constant(sentences, tf.string))
    pieces, ends = word_pieces(sentences)
    assert (pieces.dtype, ends.dtype) == (np.int32, np.int64)
    limits = expected.row_limits().numpy()
    different = np.flatnonzero(ends != limits)
    assert not len(different), sentences[different[0]]
    np.testing.assert_array_equal(pieces, expected.flat_values.numpy())


@pytest.mark.parametrize("way", ["google", "hugging-face"])
def test_every_code_point(way):
    """A space, a word of its own, a part of a word, or nothing."""
    preprocessor, word_pieces = both(SMALL, way)
    points = [p for p in range(0x110000) if not 0xD800 <= p < 0xE000]
    for start in range(0, len(points), 2**17):
        sentences = [f"a{chr(p)}b".encode() for p in points[start : start + 2**17]]
        assert_same(preprocessor, word_pieces, sentences)


@pytest.mark.parametrize("way", WAYS)
def test_words_and_their_ends(way):
    preprocessor, word_pieces = both(SMALL, way)
    rng = random.Random(0)
    alphabet = [
        "a",
        "b",
        "ab",
        "é",
        "e\u0301",
        " ",
        "\t",
        ".",
        "!",
        "中",
        "\u00ad",
        "x",
    ]
    sentences = ["".join(rng.choices(alphabet, k=rng.randrange(12))) for _ in range(3000)]
    sentences += [
        "",
        " ",
        ".",
        "a.",
        ".a",
        "a" * 100,
        "a" * 101,
        "é" * 51,
        "[UNK]",
        "[CLS] a",
        "\0",
    ]
    encoded = [sentence.encode() for sentence in sentences]
    for _ in range(3):  # the same every time
        assert_same(preprocessor, word_pieces, encoded)
    assert_same(preprocessor, word_pieces, [])


def test_real_sentences_of_labse_mini():
    ids = read_vocabulary(Path(named(NAME)) / "assets" / "vocab.txt")
    sentences = [line for path in sorted((ROOT / "training/sample").glob("*.heldout.tsv.gz"))
                 for line in gzip.open(path).read().splitlines()]  # fmt: skip
    for way in ("google", "hugging-face"):
        preprocessor = Preprocessor(list(ids), 64, **WAYS[way])
        word_pieces = OpenVINOWordPieces(ids, preprocessor.options)
        assert_same(preprocessor, word_pieces, sentences)
    for name in ("seq_length", "start_id", "end_id", "padding_id", "unknown_id"):
        assert getattr(word_pieces, name) == getattr(preprocessor, name)


def test_what_it_cannot():
    options = Preprocessor(SMALL, 32).options
    assert can_tokenize(options)
    assert not can_tokenize({**options, "lower_case": True})
    assert not can_tokenize({**options, "max_word_characters": 100})


def test_a_missing_package_is_reported(model, release, monkeypatch):
    find = importlib.util.find_spec

    def find_others(name, package=None):
        return None if name == "openvino_tokenizers" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_others)
    with pytest.warns(UserWarning, match="openvino_tokenizers is not installed, so TensorFlow is"):
        found = labse_tf.load(release, backend="openvino")
    assert isinstance(found, labse_tf.LaBSE)
    np.testing.assert_allclose(found.encode(["Tom"]), model.encode(["Tom"]), atol=1e-5)
