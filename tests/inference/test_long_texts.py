"""Texts longer than `seq_length`: against NumPy's mean of parts that are cut and packed by hand."""

import warnings

import numpy as np
import pytest
import tensorflow as tf

from labse_tf.inference import windows
from labse_tf.inference.reading import to_embed
from tests.conftest import SENTENCES
from tests.models import SEQ_LENGTH

ROOM = SEQ_LENGTH - 2
SHORT = ["Tom", "", "the cat", "a " * ROOM, "What time is it?"]
LONG = [
    "a " * (ROOM + 1),
    " ".join(SENTENCES),
    "Tom " * ROOM + "green " * ROOM,  # whole parts
    " ".join(SENTENCES[:4]) * 9,
]
TEXTS = [SHORT[0], LONG[0], *SHORT[1:3], *LONG[1:3], *SHORT[3:], LONG[3], LONG[0]]


def unit(x):
    return x / np.linalg.norm(x)


def by_hand(model, text):
    """Each part alone, at its own width; NumPy's weighted mean."""
    preprocessor = model.preprocessor
    pieces = preprocessor.word_pieces(tf.constant([text]))[0].numpy().tolist()
    parts = [pieces[i : i + ROOM] for i in range(0, len(pieces), ROOM)] or [[]]
    rows = []
    for part in parts:
        ids = tf.constant([[preprocessor.start_id, *part, preprocessor.end_id]])
        inputs = dict(
            input_word_ids=ids, input_mask=tf.ones_like(ids), input_type_ids=tf.zeros_like(ids)
        )
        rows.append(unit(model.encoder(inputs)["default"].numpy()[0]))
    return unit(np.average(rows, axis=0, weights=[len(part) or 1 for part in parts]))


@pytest.fixture(scope="module")
def expected(model):
    return np.stack([by_hand(model, text) for text in TEXTS])


@pytest.mark.parametrize("batch_tokens", [1, 60, 4096])
@pytest.mark.parametrize("deduplicate", [True, False])
def test_the_mean_of_the_parts(model, expected, monkeypatch, batch_tokens, deduplicate):
    sizes, run = [], model._in("float32").run

    def noting(ids, mask):
        sizes.append(ids.shape)
        return run(ids, mask)

    monkeypatch.setattr(model._in("float32"), "run", noting)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is cut
        found = model.encode(TEXTS, long="mean", batch_tokens=batch_tokens, deduplicate=deduplicate)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    # The parts of a text are in several batches, none wider than the model reads.
    assert max(width for _, width in sizes) == SEQ_LENGTH
    assert all(count == 1 or count * width <= batch_tokens for count, width in sizes)


@pytest.mark.filterwarnings("ignore:.*were cut")
def test_what_it_is_for(model):
    """What comes behind the cut counts."""
    texts = [LONG[0] + end for end in ("Tom", "green " * 9)]
    cut, mean = (model.encode(texts, long=long) for long in ("cut", "mean"))
    np.testing.assert_allclose(cut[0], cut[1], atol=1e-6)
    assert cut[0] @ cut[1] > mean[0] @ mean[1] + 1e-4


def test_short_sentences_are_as_ever(model):
    np.testing.assert_array_equal(model.encode(SHORT, long="mean"), model.encode(SHORT))
    # Also beside long ones, in batches of other sizes.
    beside = model.encode([*SHORT, *LONG], long="mean")[: len(SHORT)]
    np.testing.assert_allclose(beside, model.encode(SHORT), atol=2e-6)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_openvino(model, expected, precision):
    fast = to_embed(model, precision, "openvino", 0)
    for found in (
        fast.encode(TEXTS, long="mean"),
        model.encode(TEXTS, long="mean", precision=precision),
    ):
        assert np.sum(found * expected, axis=1).min() > (
            0.99999 if precision == "float32" else 0.999
        )
    assert found.dtype == np.float32


def test_windows_of_few_bytes(model, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(windows, "WINDOW_BYTES", 100)
    seen = []

    def texts():
        for text in TEXTS:
            path = tmp_path / "x.npy.unfinished"
            seen.append(len(np.load(path)) if path.exists() else 0)
            yield text

    found = model.encode(texts(), long="mean", output=tmp_path / "x.npy")
    np.testing.assert_allclose(found, expected, atol=2e-6)
    ends, size = [], 0
    for index, text in enumerate(TEXTS, start=1):
        size += len(text.encode())
        if size >= 100:
            ends.append(index)
            size = 0
    assert size and len(ends) == 3  # four windows
    # A window is written when the one behind the next is asked for.
    assert sorted(set(seen)) == [0, *ends[:-1]]


def test_a_run_that_goes_on(model, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(windows, "WINDOW", 2)

    def interrupted():
        yield from TEXTS[:5]  # the last one is long
        raise OSError("gone")

    options = dict(long="mean", output=tmp_path / "x.npy")
    with pytest.raises(OSError, match="gone"):
        model.encode(interrupted(), **options)
    np.testing.assert_allclose(np.load(tmp_path / "x.npy.unfinished"), expected[:5], atol=2e-6)
    with pytest.raises(ValueError, match="long was 'mean' and is now 'cut'"):
        model.encode(TEXTS, **options | dict(long="cut"), resume=True)
    np.testing.assert_allclose(model.encode(TEXTS, **options, resume=True), expected, atol=2e-6)


def test_unknown_words_are_counted_once_a_text(model):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.encode(["☃ " * 60, "☃ " * 60 + "Tom", "Tom"], long="mean")
    assert [str(w.message)[:33] for w in caught] == ["1 of 3 sentences are nothing but "]


def test_what_is_no_way_to_take_them(model, tmp_path):
    read = []
    for long in ("max", None, True):
        with pytest.raises(
            ValueError, match=rf"`long` \(={long!r}\) must be one of \('cut', 'mean'"
        ):
            model.encode((read.append(s) or s for s in "ab"), long=long, output=tmp_path / "x.npy")
    assert not read and not list(tmp_path.iterdir())
