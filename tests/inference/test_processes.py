"""Other processes: forks, which hang without a word, and pickles."""

import os
import pickle
import signal
import time

import numpy as np
import pytest
import tensorflow as tf

import labse_tf
from labse_tf.encoder.encoder import INPUTS
from labse_tf.serving.grpc_transport import Grpc


def in_a_fork(function) -> str:
    """The RuntimeError that a function raises in a forked process; fails if it hangs."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            function()
        except RuntimeError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    for _ in range(200):
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            with open(reading) as file:
                return file.read()
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(reading)
    raise AssertionError("the forked process hangs")


def test_a_fork_is_told_what_to_do(model, release, tmp_path):
    model.encode(["the cat"])
    for use in (
        lambda: model.encode(["the cat"]),
        lambda: model.similarity(["a"], ["b"]),
        lambda: model.save(tmp_path / "release"),
        lambda: labse_tf.load(release),
    ):
        said = in_a_fork(use)
        assert "forked from one that had a model" in said and 'get_context("spawn")' in said
    assert not (tmp_path / "release").exists()


def test_an_encoder_in_a_fork():
    config = labse_tf.EncoderConfig(9, 8, 0, 2, 8, 8, pooling="mean")
    encoder = labse_tf.Encoder(config)
    inputs = {name: tf.ones([1, 4], tf.int32) for name in INPUTS}
    expected = encoder(inputs)["default"]
    for use in (lambda: encoder(inputs), lambda: labse_tf.Encoder(config)):
        assert 'get_context("spawn")' in in_a_fork(use)
    graph = tf.function(lambda: encoder(inputs)["default"])  # by AutoGraph
    np.testing.assert_allclose(graph(), expected, atol=1e-6)


def test_a_preprocessor_in_a_fork(vocab_file):
    preprocessor = labse_tf.Preprocessor(vocab_file, 8)
    sentences = tf.constant(["the cat"])
    pieces = preprocessor.word_pieces(sentences)
    preprocessor(sentences)
    for use in (
        lambda: preprocessor(sentences),
        lambda: preprocessor.tokenize(sentences),
        lambda: preprocessor.pack([pieces], 8),
    ):
        assert 'get_context("spawn")' in in_a_fork(use)


def test_a_client_over_grpc_is_not_forked_either():
    transport = Grpc("localhost:1", "labse", timeout=1, retries=0)
    for call in (transport.versions, lambda: transport.predict([b"a"], 1)):
        assert "make an EmbeddingClient in each process" in in_a_fork(call)
    transport.close()


def test_pickling_says_what_to_do(model):
    with pytest.raises(TypeError, match=r"model\.save\(path\).*labse_tf\.load the path"):
        pickle.dumps(model)
