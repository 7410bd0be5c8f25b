"""The chunked loss against float64 NumPy: values, gradients, what is left out."""

import numpy as np
import pytest
import tensorflow as tf

from labse_tf.losses.masked_language_model import masked_cross_entropy

POSITIONS, WIDTH, VOCABULARY = 23, 8, 50


def inputs(used=14):
    rng = np.random.default_rng(0)
    hidden, table, bias = (
        rng.normal(size=shape).astype(np.float32)
        for shape in ((POSITIONS, WIDTH), (VOCABULARY, WIDTH), (VOCABULARY,))
    )
    labels = rng.integers(VOCABULARY, size=POSITIONS).astype(np.int32)
    # Some labels have the highest score, so that there is something to count.
    scores = hidden @ table.T + bias
    labels[::3] = scores.argmax(1)[::3]
    weights = (np.arange(POSITIONS) < used).astype(np.float32)
    return hidden, table, bias, labels, weights


def by_hand(hidden, table, bias, labels, weights):
    """Loss, correct ones, and the gradients p - 1 where the label is, p elsewhere."""
    x, t = hidden.astype(np.float64), table.astype(np.float64)
    scores = x @ t.T + bias
    p = np.exp(scores - scores.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    rows = np.arange(len(x))
    loss = (-np.log(p[rows, labels]) * weights).sum()
    correct = ((scores.argmax(1) == labels) * weights).sum()
    d = p.copy()
    d[rows, labels] -= 1
    d *= weights[:, None]
    return loss, correct, [d @ t, d.T @ x, d.sum(0)]


def chunked(hidden, table, bias, labels, weights, chunk, compile=False, dynamic=False):
    def run(hidden, labels, weights, table, bias):
        with tf.GradientTape() as tape:
            tape.watch((hidden, table, bias))
            loss, correct = masked_cross_entropy(
                hidden, table, bias, labels, weights,
                training=True, chunk_bytes=4 * VOCABULARY * chunk,
            )  # fmt: skip
            scaled = loss / 7.0
        return loss, correct, tape.gradient(scaled, (hidden, table, bias))

    values = [tf.constant(x) for x in (hidden, labels, weights, table, bias)]
    signature = [
        tf.TensorSpec([None, *x.shape[1:]] if dynamic and i < 3 else x.shape, x.dtype)
        for i, x in enumerate(values)
    ]
    loss, correct, gradients = tf.function(run, signature, jit_compile=compile)(*values)
    return float(loss), float(correct), [7 * g.numpy() for g in gradients]


@pytest.mark.parametrize("options", [{}, {"compile": True}, {"dynamic": True}])
@pytest.mark.parametrize("chunk", [1, 5, 23, 1000])
def test_loss_and_gradients(chunk, options):
    values = inputs()
    loss, correct, gradients = chunked(*values, chunk, **options)
    expected_loss, expected_correct, expected = by_hand(*values)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert correct == expected_correct >= 5
    for a, b in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_without_gradients():
    values = inputs()
    for chunk in (5, 1000):
        loss, correct = masked_cross_entropy(
            *map(tf.constant, values), training=False, chunk_bytes=4 * VOCABULARY * chunk
        )
        assert (float(loss), float(correct)) == pytest.approx(by_hand(*values)[:2], rel=1e-5)


def test_chunks_without_a_place_are_not_computed():
    # NaN in all that has weight 0, from the third chunk of 5 on, would spoil every sum.
    hidden, table, bias, labels, weights = inputs(used=10)
    values = (np.where(weights[:, None] > 0, hidden, np.nan), table, bias, labels, weights)
    loss, correct, gradients = chunked(*values, 5)
    expected_loss, expected_correct, expected = by_hand(hidden, table, bias, labels, weights)
    assert (loss, correct) == pytest.approx((expected_loss, expected_correct), rel=1e-5)
    np.testing.assert_allclose(gradients[0], expected[0], atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_of_equal_logits_one_is_predicted(training):
    """The first, as argmax says: a model that knows nothing is right about one word piece."""
    hidden, table, bias, labels, weights = inputs(POSITIONS)
    labels = np.arange(POSITIONS, dtype=np.int32) % 4
    values = (np.zeros_like(hidden), table, np.zeros_like(bias), labels, weights)
    _, correct = masked_cross_entropy(*map(tf.constant, values), training=training)
    assert float(correct) == (labels == 0).sum() == 6
    # In bfloat16 equal logits are common: here those of a word piece and of its copy.
    table[25:] = table[:25]
    hidden = tf.cast(hidden, tf.bfloat16)
    logits = tf.matmul(hidden, tf.cast(table, tf.bfloat16), transpose_b=True)
    best = tf.cast(logits, tf.float32).numpy().argmax(1).astype(np.int32)
    for labels, share in ((best, 1), (best + 25, 0)):
        values = (table, np.zeros_like(bias), labels, weights)
        _, correct = masked_cross_entropy(hidden, *map(tf.constant, values), training=training)
        assert float(correct) == share * POSITIONS


def test_in_bfloat16():
    hidden, table, bias, labels, weights = inputs()
    values = [tf.cast(hidden, tf.bfloat16), *map(tf.constant, (table, bias, labels, weights))]
    loss, _ = masked_cross_entropy(*values, training=True, chunk_bytes=4 * VOCABULARY * 5)
    assert loss.dtype == tf.float32
    expected, _, _ = by_hand(*inputs())
    assert float(loss) == pytest.approx(expected, rel=0.01)


def test_gradients_are_scaled_before_they_are_float16():
    """Of 60,000 equally likely words each has a gradient of 1.7e-5 / 1,000, which float16 lacks."""
    words, scale = 60_000, 2.0**15
    hidden = tf.constant([[1.0, 2.0]], tf.float16)
    table, bias = tf.zeros([words, 2]), tf.zeros([words])
    labels, weights = tf.constant([0]), tf.constant([1.0])
    expected = np.array([1.0, 2.0]) / words / 1000
    for gradient_scale, error in ((scale / 1000, 0.01), (1e-3, 1.0)):
        with tf.GradientTape() as tape:
            tape.watch(table)
            loss, _ = masked_cross_entropy(
                hidden, table, bias, labels, weights,
                training=True, gradient_scale=gradient_scale,
            )  # fmt: skip
            loss = loss * (scale / 1000)
        found = tape.gradient(loss, table)[1].numpy() / scale
        assert np.abs(found / expected - 1).max() == pytest.approx(error, abs=0.01)
