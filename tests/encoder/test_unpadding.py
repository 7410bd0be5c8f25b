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
    padded = unpadding.pad(tokens, custom_gradients=False)
    np.testing.assert_array_equal(padded, [[[5], [6], [7]], [[8], [9], [9]]])


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
