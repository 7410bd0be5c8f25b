"""Replicas against one device on the same global batch: loss, gradients, weights."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tests.training.replicas import (
    GLOBAL_BATCH,
    ONE_DEVICE,
    global_batches,
    loss_and_gradients,
    make_dual_encoder,
    trained,
)

trained_on_one_device = functools.cache(functools.partial(trained, ONE_DEVICE))

# The gradient of the keys' bias is rounding alone, of which Adam makes steps; and the loss of one
# replica adds up in another order.
ATOL = 3e-5


@pytest.mark.parametrize("replicas", [2, 4])
def test_loss_and_every_gradient(replicas, mirrored):
    """With dropout: the masks are those of the rows of the global batch."""
    loss, negatives, gradients = loss_and_gradients(dropout=0.3)
    loss_n, negatives_n, gradients_n = loss_and_gradients(mirrored(replicas), dropout=0.3)
    assert loss == pytest.approx(loss_n, abs=1e-5)
    # 8 pairs, of which two do not count against each other: (6 * 7 + 2 * 6) / 8.
    assert negatives == negatives_n == 6.75
    for a, b in zip(gradients, gradients_n, strict=True):
        np.testing.assert_allclose(b, a, atol=1e-5)
        # Softmax is blind to a shift, so the key bias has no gradient; all others have one.
    assert sum(np.abs(g).max() > 1e-3 for g in gradients) == len(gradients)


@pytest.mark.parametrize(("replicas", "num_layers"), [(1, 1), (2, 0), (4, 0)])
def test_hard_negatives_of_all_replicas(replicas, num_layers, mirrored):
    """Two a pair, in NumPy: every source against all targets and the negatives of all pairs."""
    strategy = mirrored(replicas) if replicas > 1 else ONE_DEVICE
    options = dict(hard_negatives=2, num_layers=num_layers)
    loss, negatives, gradients = loss_and_gradients(strategy, **options)
    (batch,) = global_batches(1, 2)
    model = make_dual_encoder(num_layers=num_layers)
    x, y, z = (e / np.linalg.norm(e, axis=1, keepdims=True) for e in map(np.array, model(batch)))
    expected = 0.0
    for i in range(GLOBAL_BATCH):
        others = [j for j in range(GLOBAL_BATCH) if j != i and {i, j} != {1, 6}]
        hard = [j for j in range(2 * GLOBAL_BATCH) if (i, j) != (5, 6)]  # 6 is target 5 itself
        own = np.exp(10 * (x[i] @ y[i] - 0.3))
        to_y = np.exp(10 * x[i] @ y[others].T).sum() + np.exp(10 * x[i] @ z[hard].T).sum()
        to_x = np.exp(10 * y[i] @ x[others].T).sum()
        expected -= np.log(own / (own + to_y)) + np.log(own / (own + to_x))
    assert loss == pytest.approx(expected / GLOBAL_BATCH, abs=1e-5)
    assert negatives == pytest.approx(6.75 + (16 * 8 - 1) / 8)
    cached = loss_and_gradients(strategy, chunk_size=2, **options)
    whole = loss_and_gradients(**options)
    for a, b, c in zip(whole[2], gradients, cached[2], strict=True):
        np.testing.assert_allclose(b, a, atol=1e-5)
        np.testing.assert_allclose(c, a, atol=1e-5)


@pytest.mark.parametrize(("replicas", "num_layers"), [(2, 1), (4, 0)])
def test_weights_after_training_with_clipping(replicas, num_layers, mirrored):
    history, weights = trained(mirrored(replicas), num_layers=num_layers)
    history_1, weights_1 = trained_on_one_device(num_layers=num_layers)
    assert history["loss"] == pytest.approx(history_1["loss"], abs=1e-5)
    assert history["negatives"] == history_1["negatives"] == [6.75]
    for name in weights_1:
        np.testing.assert_allclose(weights[name], weights_1[name], atol=ATOL, err_msg=name)


def test_weights_after_training_in_chunks():
    history, weights = trained(chunk_size=4)
    history_1, weights_1 = trained_on_one_device(num_layers=1)
    for name, expected in weights_1.items():
        np.testing.assert_allclose(weights[name], expected, atol=1e-5, err_msg=name)
    assert history["loss"] == pytest.approx(history_1["loss"], abs=1e-5)


def test_reported_loss_is_the_global_loss(mirrored):
    # The step's own figures against the loss function on the whole batch, outside of `fit`.
    with mirrored(2).scope():
        model = make_dual_encoder(num_layers=0)
    whole = make_dual_encoder(num_layers=0)
    (batch,) = global_batches(1)
    expected, _ = whole.ranking_loss(*whole(batch), *(token_key(side) for side in batch))
    dataset = tf.data.Dataset.from_tensor_slices(batch).batch(GLOBAL_BATCH)
    assert model.evaluate(dataset, verbose=0, return_dict=True)["loss"] == pytest.approx(
        float(expected), abs=1e-5
    )
    assert model.fit(dataset, verbose=0).history["loss"][0] == pytest.approx(
        float(expected), abs=1e-5
    )


def token_key(side):
    """An independent key of a sentence: its ids in base 1000, folded to two int32."""
    keys = [hash(tuple(row[row > 0])) for row in side["input_word_ids"]]
    return np.array([[k & 0x7FFFFFFF, (k >> 31) & 0x7FFFFFFF] for k in keys], np.int32)


def test_clipping_bites():
    _, clipped = trained(steps=1, num_layers=0)
    model = make_dual_encoder(clip_norm=0, num_layers=0)
    (batch,) = global_batches(1)
    model.fit(tf.data.Dataset.from_tensor_slices(batch).batch(GLOBAL_BATCH), verbose=0)
    # AdamW's first step hardly depends on the gradient's length; its second moment does.
    free = {w.name: w.numpy() for w in model.encoder.weights}
    assert max(np.abs(free[n] - clipped[n]).max() for n in clipped) > 1e-6
    _, _, gradients = loss_and_gradients()
    assert np.sqrt(sum((g**2).sum() for g in gradients)) > 1.0


def test_clipping_takes_the_norm_of_whole_gradients():
    # A word that occurs twice has one row in the table, and so one gradient: the sum of both.
    # Plain gradient descent of rate 0.1: w - 0.1 g 0.5 / |g|, the norm over all weights.
    _, _, gradients = loss_and_gradients()
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    model = make_dual_encoder(clip_norm=0.5)
    before = [w.numpy() for w in model.trainable_variables]
    model.compile(tf_keras.optimizers.SGD(0.1))
    (batch,) = global_batches(1)
    model.fit(tf.data.Dataset.from_tensor_slices(batch).batch(GLOBAL_BATCH), verbose=0)
    for old, g, new in zip(before, gradients, model.trainable_variables, strict=True):
        np.testing.assert_allclose(new, old - 0.1 * g * 0.5 / norm, atol=1e-6, err_msg=new.name)
