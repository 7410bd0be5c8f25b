"""Custom gradients against the formulas and against TensorFlow's own."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import norm

from labse_tf import Encoder
from labse_tf.encoder import custom_gradients
from labse_tf.encoder.layers import LayerNorm
from tests.encoder.test_encoder import CONFIG, packed, randomised

CASES = {
    "padding": packed(),
    "no padding": packed(lengths=(6, 6, 6), width=6),
    "many tokens": packed(lengths=tuple(range(1, 17)) * 6, width=16),
    "many, no padding": packed(lengths=(16,) * 40, width=16),
    "a hole, and no [CLS]": packed(),
}
_mask = CASES["a hole, and no [CLS]"]["input_mask"].numpy()
_mask[2, 3] = _mask[3, 0] = 0
CASES["a hole, and no [CLS]"]["input_mask"] = tf.constant(_mask)


def value_and_gradients(encoder, inputs, **options):
    direction = np.random.default_rng(0).normal(size=[encoder.config.hidden_size, 1])
    with tf.GradientTape() as tape:
        pooled = encoder(inputs, **options)["default"]
        loss = tf.reduce_sum(tf.matmul(pooled, tf.constant(direction, tf.float32)))
    gradients = tape.gradient(loss, encoder.trainable_variables)
    return pooled.numpy(), [tf.convert_to_tensor(g).numpy() for g in gradients]


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("case", CASES)
def test_an_encoder_has_the_same_gradients(case, pooling):
    """Also with dropout, which is of the seed and the place of the tokens alone."""
    config = dataclasses.replace(CONFIG, num_layers=2, pooling=pooling, dropout=0.2)
    encoder = randomised(Encoder(config))
    for pooled_only, training in itertools.product((False, True), repeat=2):
        options = dict(pooled_only=pooled_only, training=training, dropout_seed=tf.constant([1, 2]))
        plain, expected = value_and_gradients(encoder, CASES[case], **options)
        custom, gradients = value_and_gradients(
            encoder, CASES[case], custom_gradients=True, **options
        )
        np.testing.assert_allclose(custom, plain, atol=1e-5)
        for ours, tensorflows, weight in zip(
            gradients, expected, encoder.trainable_variables, strict=True
        ):
            bound = 2e-5 * max(1, np.abs(tensorflows).max())
            np.testing.assert_allclose(ours, tensorflows, atol=bound, err_msg=weight.name)


@pytest.mark.parametrize(("dtype", "atol"), [(tf.float32, 1e-6), (tf.bfloat16, 2e-2)])
def test_gelu_by_the_normal_distribution(dtype, atol):
    """The derivative of x Phi(x) is Phi(x) + x phi(x)."""
    x = tf.cast(tf.linspace(-6.0, 6.0, 101), dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = custom_gradients.gelu(x)
    slope = tape.gradient(y, x, tf.fill([101], tf.cast(2.0, dtype)))
    assert y.dtype == slope.dtype == dtype
    points = tf.cast(x, tf.float64).numpy()
    np.testing.assert_allclose(tf.cast(y, tf.float64), points * norm.cdf(points), atol=atol)
    expected = 2 * (norm.cdf(points) + points * norm.pdf(points))
    np.testing.assert_allclose(tf.cast(slope, tf.float64), expected, atol=2 * atol)


def test_layer_norm_as_tensorflow_derives_it():
    rng = np.random.default_rng(0)
    layer = LayerNorm(CONFIG)
    layer.scale.assign(rng.normal(size=CONFIG.hidden_size))
    layer.offset.assign(rng.normal(size=CONFIG.hidden_size))
    x = tf.constant(rng.normal(size=[50, CONFIG.hidden_size]) * 3 + 1, tf.float32)
    dy = tf.constant(rng.normal(size=x.shape), tf.float32)
    found = []
    for custom in (False, True):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, custom)
        found.append([y, *tape.gradient(y, [x, layer.scale, layer.offset], dy)])
    for plain, custom in zip(*found, strict=True):
        np.testing.assert_allclose(custom, plain, atol=1e-5)


def keys_of(shape, seed=0):
    rng = np.random.default_rng(seed)
    return tf.constant(rng.integers(-(2**31), 2**31, size=shape[:-1]), tf.int32)


@pytest.mark.parametrize("shape", [[1], [3], [7, 5], [64, 4], [2, 3, 5, 7]])
@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_dropout_scales_what_it_keeps_and_its_gradient(shape, dtype):
    @tf.function(input_signature=[tf.TensorSpec([None] * len(shape), dtype)])
    def of_unknown_shape(x):
        return custom_gradients.dropout(x, 0.5, keys)

    x, keys = tf.ones(shape, dtype), keys_of(shape)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = custom_gradients.dropout(x, 0.5, keys)
    np.testing.assert_array_equal(tape.gradient(y, x, 3 * x), 3 * y)
    np.testing.assert_array_equal(of_unknown_shape(x), y)
    assert set(np.unique(tf.cast(y, tf.float32))) <= {0, 2}


def test_dropout_never_drops_all_or_nothing():
    x, keys = tf.ones([1000, 100]), keys_of([1000, 100])
    for rate, dropped in [(1e-9, 1), (0.999999, 255), (0.25, 64)]:
        y = custom_gradients.dropout(x, rate, keys).numpy()
        share = dropped / 256
        # 5 standard errors of a share of 100,000.
        assert np.mean(y == 0) == pytest.approx(share, abs=5 * (share * (1 - share) / 1e5) ** 0.5)
        np.testing.assert_allclose(y[y > 0], 1 / (1 - share), rtol=1e-6)


def test_other_keys_drop_others():
    """Rows, columns and bytes of a word are independent: correlations as of random numbers."""
    x = tf.ones([500, 64])
    draws = [custom_gradients.dropout(x, 0.5, keys_of([500, 64], s)).numpy() for s in (0, 1)]
    assert np.mean(draws[0] == draws[1]) == pytest.approx(0.5, abs=0.02)
    for vectors in (draws[0], draws[0].T):
        correlations = np.corrcoef(vectors)[np.triu_indices(len(vectors), 1)]
        expected = vectors.shape[1] ** -0.5
        assert np.std(correlations) == pytest.approx(expected, rel=0.1)
        assert np.abs(correlations).max() < 7 * expected


@pytest.mark.parametrize("tokens", [3, 640])
def test_dense_and_gelu_in_bfloat16(tokens):
    """The functions that XLA compiles, against formulas in float64 on the rounded inputs."""
    rng = np.random.default_rng(7)
    shapes = {"x": [tokens, 16], "kernel": [16, 24], "bias": [24], "dy": [tokens, 24]}
    rounded = {n: tf.constant(rng.normal(size=s), tf.bfloat16) for n, s in shapes.items()}
    x, kernel, bias, dy = (value.numpy().astype(np.float64) for value in rounded.values())
    inputs = [rounded[name] for name in ("x", "kernel", "bias")]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = custom_gradients.dense(*inputs)
    gradients = tape.gradient(y, inputs, rounded["dy"])
    expected = (x @ kernel + bias, dy @ kernel.T, x.T @ dy, dy.sum(axis=0))
    for value, wanted in zip((y, *gradients), expected, strict=True):
        assert value.dtype == tf.bfloat16
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(value.numpy().astype(np.float64), wanted, atol=0.02 * scale)
    with tf.GradientTape() as tape:
        tape.watch(rounded["dy"])
        z = custom_gradients.gelu(rounded["dy"])
    slope = tape.gradient(z, rounded["dy"], tf.ones_like(z))
    np.testing.assert_allclose(z.numpy().astype(np.float64), dy * norm.cdf(dy), atol=0.02)
    np.testing.assert_allclose(
        slope.numpy().astype(np.float64), norm.cdf(dy) + dy * norm.pdf(dy), atol=0.02
    )
