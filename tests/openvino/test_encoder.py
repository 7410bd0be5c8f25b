"""The encoder under OpenVINO against the encoder in TensorFlow."""

import threading

import numpy as np
import pytest

import labse_tf
from labse_tf.inference.reading import to_embed
from labse_tf.openvino import encoder as openvino
from tests.conftest import SENTENCES

MANY = [f"{a} {b}" for a in SENTENCES for b in ("", "Tom", "the cat sat", "a " * 9)]


def make(vocab_file, vocab_size, **changes):
    shape = dict(hidden_size=32, num_layers=2, num_heads=4, intermediate_size=40, max_positions=64)
    encoder = labse_tf.Encoder(labse_tf.EncoderConfig(vocab_size, **{**shape, **changes}))
    rng = np.random.default_rng(0)
    for weight in encoder.weights:
        weight.assign(rng.normal(scale=0.2, size=weight.shape) + ("scale" in weight.name))
    return labse_tf.LaBSE(labse_tf.Preprocessor(vocab_file, 64), encoder)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pooling": "mean"},
        {"num_layers": 0},
        {"num_layers": 0, "pooling": "mean"},
        {"activation": "gelu_tanh", "num_layers": 1},
        {"activation": "relu", "layer_norm_epsilon": 0.1},
    ],
)
def test_the_same_embeddings(vocab_file, vocab_size, changes):
    model = make(vocab_file, vocab_size, **changes)
    fast = to_embed(model, "float32", "openvino", 0)
    expected = model.encode(MANY)
    np.testing.assert_allclose(fast.encode(MANY), expected, atol=1e-5)
    np.testing.assert_allclose(fast.encode(MANY, batch_tokens=40), expected, atol=1e-5)
    half = fast.encode(MANY, precision="bfloat16")
    assert half.dtype == np.float32
    assert np.sum(half * expected, axis=1).min() > 0.9995


@pytest.mark.filterwarnings("ignore:.*were cut")
def test_loaded(model, release, tmp_path):
    fast = labse_tf.load(release, backend="openvino")
    np.testing.assert_allclose(fast.encode(MANY), model.encode(MANY), atol=1e-5)
    np.testing.assert_allclose(
        fast.similarity(MANY[:2], MANY), model.similarity(MANY[:2], MANY), atol=1e-5
    )
    half = labse_tf.load(release, backend="openvino", precision="bfloat16")
    np.testing.assert_array_equal(half.encode(MANY), fast.encode(MANY, precision="bfloat16"))
    with pytest.raises(ValueError, match="loaded to embed only"):
        labse_tf.fine_tune(fast, [], labse_tf.FineTuningConfig(), tmp_path / "run")
    # Written, it is the release that it was read from.
    fast.save(tmp_path / "again")
    again = labse_tf.load(tmp_path / "again")
    np.testing.assert_array_equal(again.encode(MANY), model.encode(MANY))


def test_from_many_threads(vocab_file, vocab_size):
    model = make(vocab_file, vocab_size)
    fast = to_embed(model, "float32", "openvino", 0)
    expected, found = fast.encode(MANY), {}

    def run(index):
        found[index] = [fast.encode(MANY) for _ in range(5)]

    threads = [threading.Thread(target=run, args=[index]) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index in range(4):
        for embeddings in found[index]:
            np.testing.assert_allclose(embeddings, expected, atol=1e-6)


def test_not_installed(monkeypatch, tmp_path):
    monkeypatch.setattr(openvino.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install '.\[openvino\]'"):
        labse_tf.load(tmp_path, backend="openvino")
