"""stack: which layers are copied, bit for bit, and what is refused."""

import numpy as np
import pytest

from labse_tf import Encoder, EncoderConfig
from labse_tf.encoder.stacking import stack


def make_encoder(num_layers, pooling="cls", seed=0):
    encoder = Encoder(
        EncoderConfig(
            vocab_size=20,
            hidden_size=8,
            num_layers=num_layers,
            num_heads=2,
            intermediate_size=12,
            max_positions=16,
            pooling=pooling,
        )
    )
    rng = np.random.default_rng(seed)
    for weight in encoder.weights:
        weight.assign(rng.normal(size=weight.shape))
    return encoder


def by_name(layer):
    return {w.name.split("/", 1)[1]: w.numpy() for w in layer.weights}


@pytest.mark.parametrize(("old", "new"), [(1, 2), (3, 6), (2, 2), (2, 8)])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_layers_are_copied_in_order(old, new, pooling):
    parent = make_encoder(old, pooling)
    before = [w.numpy() for w in parent.weights]
    child = stack(parent, new)
    assert child.config.num_layers == len(child.transformer) == new
    for i, layer in enumerate(child.transformer):
        expected = by_name(parent.transformer[i % old])
        assert len(expected) == 12
        for name, value in by_name(layer).items():
            np.testing.assert_array_equal(value, expected[name], err_msg=f"{i} {name}")
    pairs = [(child.embeddings, parent.embeddings)]
    pairs += [(child.pooler, parent.pooler)] if pooling == "cls" else []
    for a, b in pairs:
        for x, y in zip(a.weights, b.weights, strict=True):
            np.testing.assert_array_equal(x.numpy(), y.numpy())
    assert len(child.weights) == sum(len(a.weights) for a, _ in pairs) + 12 * new
    # A copy, not the same variables.
    for weight in child.weights:
        weight.assign_add(weight * 0 + 1)
    for weight, value in zip(parent.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


def test_what_is_refused():
    for old, new in ((2, 3), (3, 2), (2, 0), (2, 5)):
        with pytest.raises(
            ValueError, match=rf"`num_layers` \(={new}\) must be a multiple of.* {old}"
        ):
            stack(make_encoder(old), new)
    with pytest.raises(ValueError, match=r"none to copy; `labse_tf\.grow`"):
        stack(make_encoder(0), 2)
