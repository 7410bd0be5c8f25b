"""Pretrainer: the tied head against NumPy, gradients against TensorFlow's own, replicas."""

import functools
import math

import numpy as np
import pytest
import tensorflow as tf

from labse_tf import Encoder, EncoderConfig
from labse_tf.encoder.encoder import INPUTS
from labse_tf.encoder.precision import computing_in
from labse_tf.optimizers.adamw import AdamW
from labse_tf.training import pretrainer
from labse_tf.training.pretrainer import Pretrainer

BATCH, WIDTH, PREDICTIONS, STEPS = 8, 10, 3, 4
CONFIG = EncoderConfig(
    vocab_size=40,
    hidden_size=12,
    num_layers=1,
    num_heads=3,
    intermediate_size=20,
    max_positions=12,
    dropout=0.0,
)
MASKED = ("masked_lm_positions", "masked_lm_ids", "masked_lm_weights")


def global_batches(steps=STEPS):
    """Rows have 0 to 3 masked places, and so every replica another number of them."""
    rng = np.random.default_rng(3)
    for _ in range(steps):
        lengths = rng.integers(4, WIDTH + 1, [BATCH, 1])
        mask = (np.arange(WIDTH) < lengths).astype(np.int32)
        ids = rng.integers(1, CONFIG.vocab_size, mask.shape).astype(np.int32) * mask
        types = (np.arange(WIDTH) >= 3).astype(np.int32) * mask
        used = np.arange(PREDICTIONS) < np.array([0, 1, 2, 3, 3, 3, 1, 2])[:, None]
        places = np.sort(rng.permuted(np.tile(np.arange(4), [BATCH, 1]), axis=1)[:, :3], axis=1)
        labels = rng.integers(CONFIG.vocab_size, size=places.shape)
        masked = [(x * used).astype(np.int32) for x in (places, labels)]
        values = (ids, mask, types, *masked, used.astype(np.float32))
        yield dict(zip((*INPUTS, *MASKED), values))


def make_pretrainer(clip_norm=0.5, chunk=4, precision="float32", **changes):
    """The same weights at every call; the clipping bites."""
    encoder = computing_in(Encoder(EncoderConfig(**{**CONFIG.__dict__, **changes})), precision)
    model = Pretrainer(encoder, clip_norm=clip_norm, chunk_bytes=4 * CONFIG.vocab_size * chunk)
    rng = np.random.default_rng(5)
    for weight in model.weights:
        weight.assign(rng.normal(scale=0.3, size=weight.shape) + ("scale" in weight.name))
    optimizer = AdamW(0.01, weight_decay=0.05, loss_scaling=precision == "float16")
    optimizer.build(model.trained_weights)
    model.compile(optimizer)
    return model


def weights_of(model):
    return {w.name: w.numpy() for w in model.weights if "/" in w.name}


def dataset(batches):
    joined = {name: np.concatenate([b[name] for b in batches]) for name in batches[0]}
    return tf.data.Dataset.from_tensor_slices(joined).batch(BATCH)


def trained(strategy, num_layers=1):
    with strategy.scope():
        model = make_pretrainer(num_layers=num_layers, dropout=0.2)
    history = model.fit(dataset(list(global_batches())), verbose=0).history
    return history, weights_of(model)


trained_on_one_device = functools.cache(functools.partial(trained, tf.distribute.get_strategy()))


def test_head_by_hand():
    model = make_pretrainer()
    (batch,) = global_batches(1)
    weights = {w.name.split("/", 1)[1]: w.numpy().astype(float) for w in model.head.weights}
    assert sorted(weights) == [
        "bias:0", "dense/bias:0", "dense/kernel:0", "layer_norm/offset:0", "layer_norm/scale:0"
    ]  # fmt: skip  # no table: it is the encoder's
    tokens = model.encoder(batch)["sequence_output"].numpy().astype(float)
    x = np.take_along_axis(tokens, batch["masked_lm_positions"][..., None], axis=1)
    x = x @ weights["dense/kernel:0"] + weights["dense/bias:0"]
    x = x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
    x = x * weights["layer_norm/scale:0"] + weights["layer_norm/offset:0"]
    expected = x @ model.encoder.embeddings.word.numpy().T + weights["bias:0"]
    np.testing.assert_allclose(model(batch).numpy(), expected, atol=1e-4)
    # And what is reported: means over the 15 masked places.
    p = np.exp(expected) / np.exp(expected).sum(-1, keepdims=True)
    p = np.take_along_axis(p, batch["masked_lm_ids"][..., None], axis=-1)[..., 0]
    used = batch["masked_lm_weights"]
    right = expected.argmax(-1) == batch["masked_lm_ids"]
    logs = model.evaluate(dataset([batch]), verbose=0, return_dict=True)
    assert used.sum() == 15
    assert logs["loss"] == pytest.approx(-(np.log(p) * used).sum() / 15, abs=1e-4)
    assert logs["masked_accuracy"] == pytest.approx((right * used).sum() / 15)


@pytest.mark.parametrize("chunk", [4, 1000])
def test_gradients_are_those_of_all_logits_at_once(chunk):
    # The word embeddings' is the sum of what they get as inputs and as outputs.
    model = make_pretrainer(chunk=chunk)
    (batch,) = global_batches(1)
    batch = {name: tf.constant(x) for name, x in batch.items()}
    variables = model.trained_weights
    with tf.GradientTape() as tape:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            batch["masked_lm_ids"], model(batch, training=True)
        )
        expected_loss = tf.reduce_sum(losses * batch["masked_lm_weights"])
    expected = tape.gradient(expected_loss, variables)
    with tf.GradientTape() as tape:
        loss, _, _ = model.sums(batch, training=True)
    assert float(loss) == pytest.approx(float(expected_loss), rel=1e-5)
    for a, b, v in zip(tape.gradient(loss, variables), expected, variables, strict=True):
        a, b = (tf.convert_to_tensor(g).numpy() for g in (a, b))
        np.testing.assert_allclose(a, b, atol=1e-5 * max(1, np.abs(b).max()), err_msg=v.name)
        assert np.abs(b).max() > 1e-3


@pytest.mark.parametrize(("replicas", "num_layers"), [(2, 1), (4, 0)])
def test_replicas_are_as_one_device(replicas, num_layers, mirrored):
    history, weights = trained(mirrored(replicas), num_layers=num_layers)
    history_1, weights_1 = trained_on_one_device(num_layers=num_layers)
    for name in ("loss", "masked_accuracy", "gradient_norm"):
        assert history[name] == pytest.approx(history_1[name], abs=1e-5)
    assert history["gradient_norm"][0] > 0.5  # the clipping bites
    for name in weights_1:
        np.testing.assert_allclose(weights[name], weights_1[name], atol=1e-5, err_msg=name)


def test_in_float16():
    """Loss and gradient of a step are near those of float32, and the step is taken."""
    (batch,) = tf.nest.map_structure(tf.constant, list(global_batches(1)))
    exact = make_pretrainer(dropout=0.2).train_step(batch)
    model = make_pretrainer(precision="float16", dropout=0.2)
    half = model.train_step(batch)
    assert half["loss_scale"] == 2.0**15 and model.optimizer.loss_scale.skipped == 0
    for name in ("loss", "gradient_norm"):
        assert float(half[name]) == pytest.approx(float(exact[name]), rel=0.01)
        assert half[name] != exact[name]


def test_the_loss_scale_reaches_the_word_embeddings(monkeypatch):
    """A scale of 2^15 comes before the cast to float16, in which small gradients are 0."""
    scales = []
    loss = pretrainer.masked_cross_entropy

    def note(*arguments, gradient_scale, **options):
        scales.append(float(gradient_scale))
        return loss(*arguments, gradient_scale=gradient_scale, **options)

    monkeypatch.setattr(pretrainer, "masked_cross_entropy", note)
    (batch,) = tf.nest.map_structure(tf.constant, list(global_batches(1)))
    make_pretrainer(precision="float16").train_step(batch)
    assert scales == pytest.approx([2.0**15 / float(tf.reduce_sum(batch["masked_lm_weights"]))])


def test_pooler_stays():
    _, weights = trained_on_one_device(num_layers=1)
    before = weights_of(make_pretrainer())
    same = {name for name in weights if (weights[name] == before[name]).all()}
    assert same == {"pooler/kernel:0", "pooler/bias:0"}


def test_dropout_is_of_seed_and_step():
    (batch,) = global_batches(1)
    losses = {}
    for seed, step in ((0, 0), (0, 0), (0, 1), (1, 0)):
        model = make_pretrainer(dropout=0.5)
        model._seed = seed
        model.optimizer.iterations.assign(step)
        loss = float(model.sums(batch, training=True, seed=model._step_seed())[0])
        assert losses.setdefault((seed, step), loss) == loss
    assert len(set(losses.values())) == 3


def test_compiles_with_xla():
    model = make_pretrainer()
    (batch,) = global_batches(1)
    batch = {name: tf.constant(x) for name, x in batch.items()}

    def step(batch):
        with tf.GradientTape() as tape:
            loss, correct, count = model.sums(batch, training=True, seed=tf.constant([1, 2]))
        gradients = tape.gradient(loss, model.trained_weights)
        return loss, correct, count, [tf.convert_to_tensor(g) for g in gradients]

    plain, compiled = (tf.function(step, jit_compile=jit)(batch) for jit in (False, True))
    for a, b in zip(tf.nest.flatten(plain), tf.nest.flatten(compiled), strict=True):
        np.testing.assert_allclose(b, a, atol=1e-4)
