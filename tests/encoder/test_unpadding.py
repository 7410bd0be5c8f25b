"""Unpadding: which tokens are kept, where padding leads to, and back."""

import numpy as np
import pytest
import tensorflow as tf

from labse_tf import Encoder
from labse_tf.encoder.unpadding import Unpadding
from tests.encoder.test_custom_gradients import CASES
from tests.encoder.test_encoder import CONFIG, packed


def test_by_hand():
    unpadding = Unpadding.from_mask(tf.constant([[1, 1, 1], [1, 0, 0]]))
    np.testing.assert_array_equal(unpadding.positions, [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(unpadding.token_indices, [[0, 1, 2], [3, 4, 4]])
    tokens = unpadding.unpad(tf.constant([[5.0], [6.0], [7.0], [8.0], [9.0], [0.0]]))
    np.testing.assert_array_equal(tokens, [[5], [6], [7], [8], [9]])
    means = unpadding.mean(tokens, tf.constant([[1, 1, 1], [1, 0, 0]]))
    np.testing.assert_array_equal(means, [[6], [8]])


def test_means_and_their_gradient_by_numpy():
    for case, inputs in CASES.items():
        mask = inputs["input_mask"].numpy().copy()
        mask[0] = 0  # a row without any token
        unpadding = Unpadding.from_mask(tf.constant(mask))
        tokens = np.random.default_rng(0).normal(size=[len(unpadding.positions), 5])
        tokens = tf.constant(tokens, tf.float32)
        shares = mask / np.maximum(mask.sum(axis=1, keepdims=True), 1)
        padded = tokens.numpy()[unpadding.token_indices.numpy()]
        with tf.GradientTape() as tape:
            tape.watch(tokens)
            means = unpadding.mean(tokens, tf.constant(mask))
        expected = np.einsum("bw,bwh->bh", shares, padded)
        np.testing.assert_allclose(means, expected, atol=1e-6, err_msg=case)
        gradient = tape.gradient(means, tokens).numpy()
        flat = np.append(shares.reshape(-1), 0)[unpadding.positions]
        np.testing.assert_allclose(gradient, np.repeat(flat[:, None], 5, axis=1), atol=1e-7)


@pytest.mark.parametrize("custom", [False, True])
def test_heads_there_and_back_by_numpy(custom):
    """3 times [batch, heads, width, size] by a transpose; the filler's values at padding."""
    mask = CASES["padding"]["input_mask"]
    unpadding = Unpadding.from_mask(mask)
    batch, width = mask.shape
    tokens = len(unpadding.positions)
    qkv = np.random.default_rng(0).normal(size=[tokens, 3 * 4 * 6]).astype(np.float32)
    padded = qkv[unpadding.token_indices.numpy()].reshape(batch, width, 3, 4, 6)
    heads = unpadding.pad_heads(tf.constant(qkv), 4, 6, custom)
    np.testing.assert_array_equal(heads, padded.transpose(2, 0, 3, 1, 4))
    for part, x in enumerate(heads):
        back = unpadding.unpad_heads(x, custom)
        np.testing.assert_array_equal(back, qkv[:, 24 * part : 24 * (part + 1)])


def test_a_filler_for_all_padding_and_none_without():
    for case, inputs in CASES.items():
        unpadding = Unpadding.from_mask(inputs["input_mask"])
        kept = inputs["input_mask"].numpy() > 0
        kept[:, 0] = True
        positions, tokens = unpadding.positions.numpy(), unpadding.token_indices.numpy()
        count = kept.sum()
        np.testing.assert_array_equal(positions[:count], np.flatnonzero(kept))
        np.testing.assert_array_equal(tokens[kept], np.arange(count))
        if kept.all():
            assert len(positions) == count
        else:
            assert len(positions) > count and not kept.reshape(-1)[positions[count:]].any()
            assert set(tokens[~kept]) == {len(positions) - 1}
            assert len(positions) % 64 == 0 if "many" in case else len(positions) == count + 1


def test_an_empty_batch():
    nothing = {name: x[:0] for name, x in packed().items()}
    encoder = Encoder(CONFIG)
    assert encoder(nothing, pooled_only=True)["default"].shape == (0, CONFIG.hidden_size)
