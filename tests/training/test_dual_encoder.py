"""DualEncoder as a Keras model: its config, and what a file of it holds."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from labse_tf import AdditiveMarginRankingLoss, DualEncoder, Encoder
from labse_tf.encoder.freezing import weights_to_train
from labse_tf.optimizers.adamw import AdamW
from labse_tf.optimizers.schedules import WarmupLinearDecay
from tests.encoder.test_encoder import CONFIG, packed, randomised
from tests.training.replicas import loss_and_gradients

CONFIG = dataclasses.replace(CONFIG, num_layers=2)


def dual_encoder(**options):
    encoder = randomised(Encoder(CONFIG, name="labse"))
    variables = weights_to_train(encoder, freeze_embeddings=True, freeze_layers=1)
    loss = AdditiveMarginRankingLoss(0.1, 20.0, bidirectional=False)
    return DualEncoder(encoder, loss, seed=4, variables=variables, clip_norm=2.0, **options)


def test_from_its_config():
    model = dual_encoder(chunk_size=2)
    config = json.loads(json.dumps(model.get_config()))
    other = DualEncoder.from_config(config)
    assert other.get_config() == model.get_config() == config
    assert other.encoder.config == CONFIG and other.encoder.name == "labse"
    assert other.ranking_loss.get_config() == model.ranking_loss.get_config()
    for target, weight in zip(other.weights, model.weights, strict=True):
        target.assign(weight)
    # The same encoder, loss, seed of dropout, chunks and weights to train: the same step.
    pairs = packed(), packed(seed=1)
    for m in (model, other):
        m.compile("sgd")
    (loss, _, gradients), (expected, _, expected_gradients) = (
        m.gradients(pairs) for m in (other, model)
    )
    np.testing.assert_array_equal(loss, expected)
    assert len(gradients) == 12 + 2  # the second layer's and the pooler's
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_saved_and_loaded(tmp_path, recwarn):
    model = dual_encoder()
    model.compile(AdamW(WarmupLinearDecay(0.1, 1, 5), 0.01))
    pairs = packed(), packed(seed=1)
    data = tf.data.Dataset.from_tensors(pairs)
    model.fit(data, verbose=0)
    model.save(tmp_path / "dual.keras")
    assert not [w for w in recwarn if "not yet been built" in str(w.message)]
    loaded = tf_keras.models.load_model(tmp_path / "dual.keras")
    for ours, theirs in zip(loaded(pairs), model(pairs), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert loaded.evaluate(data, verbose=0) == model.evaluate(data, verbose=0)
    before = [w.numpy() for w in loaded.encoder.weights]
    loaded.fit(data, verbose=0)
    moved = {w.name for w, old in zip(loaded.encoder.weights, before) if (w != old).numpy().any()}
    assert moved == {w.name for w in weights_to_train(model.encoder, True, 1)}
    # The optimizer's state is in the file: both go on alike.
    model.fit(data, verbose=0)
    state = zip(loaded.optimizer.variables, model.optimizer.variables, strict=True)
    for ours, theirs in [*state, *zip(loaded.encoder.weights, model.encoder.weights)]:
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("hard_negatives", [0, 2])
def test_sides_are_embedded_as_one_batch(hard_negatives):
    """Without dropout, and equal to one side after the other, as static shapes need."""
    together = loss_and_gradients(hard_negatives=hard_negatives)
    apart = loss_and_gradients(hard_negatives=hard_negatives, static=True)
    assert together[0] == pytest.approx(apart[0], abs=1e-5) and together[1] == apart[1]
    for a, b in zip(together[2], apart[2], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
