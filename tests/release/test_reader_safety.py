"""Whatever bytes a request holds, a release answers with unit rows, or not at all wrongly."""

import functools

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies

MARKS = "\u0301\u0308\u20dd\u200d\ufe0f"
COMBINING = strategies.text(MARKS, min_size=1)
SURROGATE = strategies.sampled_from([b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb8\x80"])
ODD = strategies.one_of(
    strategies.binary(max_size=200),
    strategies.text(max_size=200).map(functools.partial(str.encode, encoding="utf-8")),
    COMBINING.map(str.encode),
    strategies.tuples(strategies.binary(max_size=9), SURROGATE, strategies.binary(max_size=9)).map(
        b"".join
    ),
    strategies.text("\0\t\n\r\u2028\ufeff\u202e a", max_size=40).map(str.encode),
)


@pytest.fixture(scope="module")
def served(release):
    return tf.saved_model.load(str(release))


def answer(served, sentences):
    rows = served.signatures["serving_default"](sentences=tf.constant(sentences, tf.string))
    rows = rows["embeddings"].numpy()
    assert rows.shape == (len(sentences), 16)
    assert np.isfinite(rows).all()
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    return rows


@hypothesis.settings(max_examples=300, deadline=None, derandomize=True)
@hypothesis.given(sentences=strategies.lists(ODD, max_size=6))
def test_any_bytes(served, sentences):
    rows = answer(served, sentences)
    for sentence, row in zip(sentences, rows, strict=True):  # each as if it were alone
        np.testing.assert_allclose(answer(served, [sentence])[0], row, atol=1e-5)


@pytest.mark.parametrize(
    "sentence",
    [
        b"a" * 1_000_000,
        b"the cat " * 125_000,
        b"\xff" * 1_000_000,
        "\u0301".encode() * 500_000,
        "猫".encode() * 333_333,
        ("a" + "\u0301" * 100_000).encode(),
        b"\0" * 100_000,
        b" " * 1_000_000,
        b"the " * 100_000,
    ],
    ids=["one word", "words", "no UTF-8", "marks", "CJK", "one letter", "NUL", "spaces", "100k"],
)
def test_very_long(served, sentence):
    rows = answer(served, [b"the cat", sentence, b""])
    np.testing.assert_allclose(rows[::2], answer(served, [b"the cat", b""]), atol=1e-5)


@pytest.mark.parametrize("size", [0, 1, 5_000])
def test_batches(served, size):
    sentences = [b"the cat %d" % (i % 7) for i in range(size)]
    rows = answer(served, sentences)
    if size:
        np.testing.assert_allclose(
            rows, np.resize(answer(served, sentences[:7]), rows.shape), atol=1e-5
        )
