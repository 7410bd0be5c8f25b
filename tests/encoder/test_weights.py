"""Weights without second copies: the values are right, and the memory is not taken twice."""

import numpy as np
import pytest
import tensorflow as tf

from labse_tf import Encoder, EncoderConfig
from labse_tf.encoder import weights
from tests.fresh import fresh


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(weights, "CHUNK_BYTES", 4 * 10 * 7)  # 7 rows of 10


def test_chunks_cover_every_row_once(small_chunks):
    assert list(weights.chunks_of([20, 10])) == [(0, 7), (7, 14), (14, 20)]
    assert list(weights.chunks_of([7, 2, 5])) == [(0, 7)]
    assert list(weights.chunks_of([3, 1000])) == [(0, 1), (1, 2), (2, 3)]  # never less than a row
    assert list(weights.chunks_of([9])) == [(0, 9)]


def test_rows_there_and_back(small_chunks):
    values = np.random.default_rng(0).normal(size=[20, 10]).astype(np.float32)
    variable = tf.Variable(tf.zeros([20, 10]))

    def fill(array):
        assert (array.shape, array.dtype, array.ctypes.data % 64) == ((20, 10), np.float32, 0)
        array[:] = values

    weights.assign(variable, fill)
    np.testing.assert_array_equal(variable, values)
    chunks = list(weights.rows_of(variable))
    assert [len(chunk) for chunk in chunks] == [7, 7, 6]
    np.testing.assert_array_equal(np.concatenate(chunks), values)
    variable.assign_add(tf.ones_like(variable))  # it trains as any other
    np.testing.assert_array_equal(variable, values + 1)


@pytest.mark.parametrize("shape", [[], [3], [5, 4, 3]])
def test_any_shape(shape):
    variable = tf.Variable(tf.zeros(shape))
    weights.assign(variable, lambda array: array.fill(2.5))
    np.testing.assert_array_equal(variable, np.full(shape, 2.5, np.float32))


def test_an_unfilled_encoder_has_the_weights_of_any():
    config = EncoderConfig.small(50, num_layers=1, pooling="cls")
    unfilled, filled = weights.unfilled_encoder(config), Encoder(config)
    for a, b in zip(unfilled.weights, filled.weights, strict=True):
        assert (a.name, a.shape, a.dtype, a.trainable) == (b.name, b.shape, b.dtype, b.trainable)
        a.assign(b)
    # The context is over: what is made now has values.
    assert 0.01 < np.std(Encoder(config).embeddings.word) < 0.03


MEMORY = """
from labse_tf import EncoderConfig
from labse_tf.encoder import weights

def peak():  # kB of anonymous and file pages
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

config = EncoderConfig.small(200_000, num_layers=0)  # 205 MB
tiny = weights.unfilled_encoder(EncoderConfig.small(100, num_layers=0))
before = peak()
encoder = weights.unfilled_encoder(config)
unfilled = peak() - before
word = encoder.embeddings.word
weights.assign(word, lambda array: array.fill(1))
filled = peak() - before
total = sum(rows.sum() for rows in weights.rows_of(word))
assert total == 200_000 * 256
print(unfilled, filled, peak() - before)
"""


def test_the_memory_is_taken_once():
    process = fresh("-c", MEMORY)
    assert process.returncode == 0, process.stderr[-3000:]
    unfilled, filled, read = (1024 * int(number) for number in process.stdout.split())
    table = 200_000 * 256 * 4
    assert unfilled < 0.1 * table
    assert table < filled < 1.1 * table
    assert read < 1.4 * table  # chunks of 8%
