"""The encoder against Model Garden's BertEncoder with the same weights, and under XLA."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from official.nlp.modeling.networks import BertEncoder

from labse_tf import Encoder, EncoderConfig, grow
from labse_tf.encoder.dropout import Dropout
from labse_tf.encoder.encoder import INPUTS
from labse_tf.encoder.freezing import weights_to_train
from labse_tf.encoder.stacking import stack

CONFIG = EncoderConfig(
    vocab_size=60,
    hidden_size=24,
    num_layers=3,
    num_heads=4,
    intermediate_size=40,
    max_positions=16,
)

ACTIVATIONS = {
    "gelu": lambda x: tf_keras.activations.gelu(x, approximate=False),
    "gelu_tanh": lambda x: tf_keras.activations.gelu(x, approximate=True),
    "relu": tf_keras.activations.relu,
}


def packed(lengths=(11, 1, 7, 4), width=11, seed=0):
    """Token ids with ragged masks and both token types."""
    rng = np.random.default_rng(seed)
    lengths = np.array(lengths)[:, None]
    mask = np.arange(width) < lengths
    types = (np.arange(width) >= lengths // 2) & mask
    ids = rng.integers(1, CONFIG.vocab_size, [len(lengths), width]) * mask
    return {k: tf.constant(v, tf.int32) for k, v in zip(INPUTS, (ids, mask, types))}


def randomised(encoder, seed=1):
    """Weights that tell every part apart: no zeros in biases, no ones in norms."""
    rng = np.random.default_rng(seed)
    for weight in encoder.weights:
        weight.assign(rng.normal(scale=0.3, size=weight.shape) + ("scale" in weight.name))
    return encoder


def model_garden(encoder):
    """A BertEncoder with the weights of ours."""
    config = encoder.config
    bert = BertEncoder(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        num_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        max_sequence_length=config.max_positions,
        type_vocab_size=config.type_vocab_size,
        inner_dim=config.intermediate_size,
        dict_outputs=True,
        inner_activation=ACTIVATIONS[config.activation],
    )
    bert(packed())
    ours = {w.name.removesuffix(":0"): w.numpy() for w in encoder.weights}
    names = {
        "word_embeddings/embeddings": "embeddings/word",
        "position_embedding/embeddings": "embeddings/position",
        "type_embeddings/embeddings": "embeddings/type",
        "embeddings/layer_norm/gamma": "embeddings/layer_norm/scale",
        "embeddings/layer_norm/beta": "embeddings/layer_norm/offset",
        "pooler_transform/kernel": "pooler/kernel",
        "pooler_transform/bias": "pooler/bias",
    }
    for i in range(config.num_layers):
        theirs, mine = f"transformer/layer_{i}", f"layer_{i}"
        for part, piece in enumerate(("query", "key", "value")):
            for kind in ("kernel", "bias"):
                whole = ours[f"{mine}/attention_qkv/{kind}"]
                ours[f"{mine}/{piece}/{kind}"] = np.split(whole, 3, axis=-1)[part]
                names[f"{theirs}/self_attention/{piece}/{kind}"] = f"{mine}/{piece}/{kind}"
        for kind in ("kernel", "bias"):
            names[f"{theirs}/self_attention/attention_output/{kind}"] = (
                f"{mine}/attention_output/{kind}"
            )
            names[f"{theirs}/intermediate/{kind}"] = f"{mine}/intermediate/{kind}"
            names[f"{theirs}/output/{kind}"] = f"{mine}/output/{kind}"
        for norm in ("self_attention_layer_norm", "output_layer_norm"):
            own = norm.removeprefix("self_")
            names[f"{theirs}/{norm}/gamma"] = f"{mine}/{own}/scale"
            names[f"{theirs}/{norm}/beta"] = f"{mine}/{own}/offset"
    assert len(bert.weights) == len(names)
    for weight in bert.weights:
        weight.assign(ours[names[weight.name.removesuffix(":0")]].reshape(weight.shape))
    return bert


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_equal_to_model_garden(activation):
    encoder = randomised(Encoder(dataclasses.replace(CONFIG, activation=activation)))
    expected = model_garden(encoder)(packed())
    outputs = encoder(packed())
    np.testing.assert_allclose(outputs["pooled_output"], expected["pooled_output"], atol=1e-5)
    np.testing.assert_allclose(outputs["sequence_output"], expected["sequence_output"], atol=1e-5)
    np.testing.assert_array_equal(outputs["default"], outputs["pooled_output"])
    # The comparison means something: sentences, and a sentence and its neighbour, differ.
    assert np.ptp(expected["pooled_output"].numpy(), axis=0).max() > 0.1


def test_mean_pooling_and_no_layer_by_numpy():
    config = EncoderConfig(
        vocab_size=60,
        hidden_size=24,
        num_layers=0,
        num_heads=4,
        intermediate_size=40,
        max_positions=16,
        pooling="mean",
    )
    encoder = randomised(Encoder(config))
    inputs = {k: v.numpy() for k, v in packed().items()}
    e = encoder.embeddings
    x = e.word.numpy()[inputs["input_word_ids"]] + e.type.numpy()[inputs["input_type_ids"]]
    x = x + e.position.numpy()[: x.shape[1]]
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
    x = x * e.layer_norm.scale.numpy() + e.layer_norm.offset.numpy()
    mask = inputs["input_mask"][:, :, None]
    outputs = encoder(packed())
    np.testing.assert_allclose(outputs["sequence_output"], x, atol=1e-5)
    np.testing.assert_allclose(outputs["default"], (x * mask).sum(1) / mask.sum(1), atol=1e-5)


def test_mixed_bfloat16_is_near_and_float32_outside():
    encoder = randomised(Encoder(CONFIG))
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        half = Encoder(CONFIG)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    for ours, other in zip(half.weights, encoder.weights):
        assert ours.dtype == tf.float32
        ours.assign(other)
    exact, outputs = model_garden(encoder)(packed()), half(packed())
    for name in ("pooled_output", "sequence_output"):
        assert outputs[name].dtype == tf.float32
        a, b = (tf.math.l2_normalize(x[name], axis=-1).numpy() for x in (exact, outputs))
        cosines = (a * b).sum(-1)
        assert cosines.min() > 0.999
        assert cosines.min() < 1 - 1e-7  # it did compute in bfloat16


@pytest.mark.parametrize("layers", [0, 1, 3])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_pooled_only_is_the_same_and_so_are_its_gradients(layers, pooling):
    config = dataclasses.replace(CONFIG, num_layers=layers, pooling=pooling)
    encoder = randomised(Encoder(config))
    inputs = packed()
    mask = inputs["input_mask"].numpy()
    mask[2, 3] = mask[3, 0] = 0  # a hole, and a first token that nothing may look at
    inputs["input_mask"] = tf.constant(mask)
    direction = tf.constant(np.random.default_rng(0).normal(size=[4, config.hidden_size]))
    values, gradients = [], []
    for pooled_only in (False, True):
        with tf.GradientTape() as tape:
            outputs = encoder(inputs, pooled_only=pooled_only)
            loss = tf.reduce_sum(outputs["default"] * tf.cast(direction, tf.float32))
        values.append(outputs["default"])
        found = tape.gradient(loss, encoder.trainable_variables)
        gradients.append([tf.convert_to_tensor(g).numpy() for g in found])
    assert set(outputs) == {"default", "pooled_output"}
    np.testing.assert_allclose(*values, atol=2e-6)
    for whole, pooled, weight in zip(*gradients, encoder.trainable_variables, strict=True):
        np.testing.assert_allclose(pooled, whole, atol=2e-5, err_msg=weight.name)


def test_padding_changes_nothing():
    encoder = randomised(Encoder(CONFIG))
    narrow, wide = packed(lengths=(5, 3), width=5), packed(lengths=(5, 3), width=5)
    wide = {k: tf.pad(v, [[0, 0], [0, 9]]) for k, v in wide.items()}
    np.testing.assert_allclose(encoder(wide)["default"], encoder(narrow)["default"], atol=1e-5)


def test_dropout_follows_its_seed():
    encoder = randomised(Encoder(CONFIG))

    def run(seed):
        return encoder(packed(), training=True, dropout_seed=seed)["default"].numpy()

    np.testing.assert_array_equal(run([1, 2]), run([1, 2]))
    assert np.abs(run([1, 2]) - run([1, 3])).max() > 1e-3
    assert np.abs(run(None) - run(None)).max() > 1e-3
    assert np.abs(run([1, 2]) - encoder(packed())["default"]).max() > 1e-3
    np.testing.assert_array_equal(  # not training: the seed does nothing
        encoder(packed(), dropout_seed=[1, 2])["default"], encoder(packed())["default"]
    )


def test_dropout_keeps_the_mean_and_drops_its_share():
    dropout = Dropout(0.1, tf.constant([3, 4]), 0, batch=40, width=10, unpadding=None)
    y = dropout.of_tokens(tf.ones([400, 500]), site=5).numpy()
    # 200,000 draws: the standard error of the share is sqrt(0.1 * 0.9 / 2e5) = 0.0007.
    assert np.mean(y == 0) == pytest.approx(0.1, abs=0.004)
    # A byte an element: 26 of 256 are nearest to a tenth.
    np.testing.assert_allclose(y[y > 0], 256 / 230, rtol=1e-6)
    other = dropout.of_tokens(tf.ones([400, 500]), site=6).numpy()
    assert np.mean((y == 0) & (other == 0)) == pytest.approx(0.01, abs=0.002)  # independent


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_dropout_of_a_row_is_the_same_in_every_company(pooling):
    encoder = randomised(Encoder(dataclasses.replace(CONFIG, pooling=pooling, dropout=0.3)))
    options = dict(training=True, dropout_seed=[1, 2])
    whole = encoder(packed(), **options)["default"].numpy()
    for first, last, width in ((0, 1, 11), (1, 2, 1), (2, 4, 7)):
        part = {name: x[first:last, :width] for name, x in packed().items()}
        for pooled_only in (False, True):
            alone = encoder(part, first_row=first, pooled_only=pooled_only, **options)["default"]
            np.testing.assert_allclose(alone, whole[first:last], atol=1e-5)
    other = encoder(packed(), first_row=1, **options)["default"].numpy()
    assert np.abs(other - whole).max() > 1e-3


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("layers", [0, 1])
def test_growing_changes_nothing_at_first(layers, pooling):
    trained = randomised(Encoder(EncoderConfig.small(60, num_layers=layers, pooling=pooling)))
    grown = grow(trained, layers + 2)
    assert len(grown.transformer) == layers + 2
    before, after = (encoder(packed()) for encoder in (trained, grown))
    for name, expected in before.items():
        np.testing.assert_allclose(after[name], expected, atol=1e-5, err_msg=name)
    # Nor is what is copied shared: training the one leaves the other alone.
    grown.embeddings.word.assign_add(tf.ones_like(grown.embeddings.word))
    np.testing.assert_array_equal(trained(packed())["default"], before["default"])
    with pytest.raises(ValueError, match="can be grown, not cut"):
        grow(grown, 1)


def test_more_tokens_than_positions():
    config = EncoderConfig.small(60, hidden_size=8, num_layers=1, intermediate_size=8)
    encoder = Encoder(dataclasses.replace(config, max_positions=4))
    spec = {name: tf.TensorSpec([None, None], tf.int32) for name in INPUTS}
    function = tf.function(lambda inputs: encoder(inputs)["default"], input_signature=[spec])
    ids = {name: tf.ones([2, 5], tf.int32) for name in INPUTS}
    with pytest.raises(ValueError, match=r"5 tokens wide, .* only `max_positions` \(=4\)"):
        encoder(ids)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"only `max_positions` \(=4\)"):
        function(ids)
    assert function({name: x[:, :4] for name, x in ids.items()}).shape == (2, 8)


@pytest.mark.parametrize("deepen", [grow, stack])
def test_a_deeper_encoder_computes_in_the_same_dtypes(deepen):
    config = EncoderConfig.small(60, hidden_size=8, num_layers=1, intermediate_size=8)
    encoder = randomised(Encoder(config, "float16", dtype="mixed_bfloat16"))
    deeper = deepen(encoder, 2)
    assert deeper.dtype_policy.name == deeper.transformer[1].dtype_policy.name == "mixed_bfloat16"
    names = {w.dtype.name for layer in (encoder, deeper) for w in layer.transformer[0].weights}
    assert {w.dtype.name for w in deeper.transformer[1].weights} == names == {"float16", "float32"}
    assert deeper.compute_dtype == encoder.compute_dtype == "bfloat16"
    if deepen is grow:
        before, after = (e(packed())["default"].numpy() for e in (encoder, deeper))
        np.testing.assert_allclose(after, before, atol=0.1)


def test_all_that_is_new_learns():
    grown = grow(randomised(Encoder(EncoderConfig.small(60, num_layers=0))), 2)
    before = [w.numpy() for w in grown.trainable_weights]
    optimizer = tf_keras.optimizers.Adam(0.01)
    target = tf.random.stateless_normal(grown(packed())["default"].shape, [5, 6])
    for _ in range(3):  # the first step moves the zeros, the next what lies behind them
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum((grown(packed())["default"] - target) ** 2)
        gradients = tape.gradient(loss, grown.trainable_weights)
        optimizer.apply_gradients(zip(gradients, grown.trainable_weights))
    for old, weight in zip(before, grown.trainable_weights, strict=True):
        assert np.abs(old - weight).max() > 1e-3, weight.name


def test_errors():
    encoder = Encoder(CONFIG)
    with pytest.raises(ValueError, match=r"17 tokens wide.*16"):
        encoder(packed(width=17))
    inputs = packed()
    del inputs["input_mask"]
    with pytest.raises(ValueError, match="input_mask"):
        encoder(inputs)


def test_nothing_left_to_train():
    encoder = Encoder(EncoderConfig.small(10, num_layers=1))
    with pytest.raises(ValueError, match="Nothing is left to train"):
        weights_to_train(encoder, freeze_embeddings=True, freeze_layers=1)
