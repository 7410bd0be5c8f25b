"""Kernels in 8 bits by calibration: against NumPy, against TensorFlow, against float32."""

import numpy as np
import pytest
import tensorflow as tf

import labse_tf
from labse_tf.encoder.weights import named_weights
from labse_tf.inference.tokens import Tokens
from labse_tf.openvino.calibration import calibrate, linear_layers
from labse_tf.openvino.encoder import OpenVINO
from tests.openvino.test_encoder import MANY, make

SHAPE = dict(hidden_size=32, num_layers=2, num_heads=4, intermediate_size=64)


def weights_of(model):
    return {name: variable.numpy() for name, variable in named_weights(model.encoder).items()}


def batches_of(model, sentences, batch_tokens=400):
    tokens = Tokens(model.word_pieces, [s.encode() for s in sentences], "cut")
    return ((ids, mask) for _, ids, mask in tokens.batches(batch_tokens))


def embed(model, sentences, run):
    """Rows by `run`, float32 [sentences, dim]."""
    tokens = Tokens(model.word_pieces, [s.encode() for s in sentences], "cut")
    rows = np.zeros([len(sentences), model.dim], np.float32)
    for parts, ids, mask in tokens.batches(400):
        rows[parts] = run(ids, mask)
    return rows


@pytest.mark.parametrize("changes", [{}, {"pooling": "mean", "activation": "relu"}])
def test_embeddings_in_8_bits(vocab_file, vocab_size, changes):
    model = make(vocab_file, vocab_size, **{**SHAPE, **changes})
    weights, config = weights_of(model), model.encoder.config
    calibrated = calibrate(weights, config, batches_of(model, MANY))
    expected = model.encode(MANY)

    def lowest(kernels):
        run = OpenVINO(weights, config, "int8", 0, kernels).embedder("int8")
        return np.sum(embed(model, MANY, run) * expected, axis=1).min()

    assert 0.9985 < lowest(calibrated) < 0.999999
    broken = {**calibrated, "layer_1/output/scale": 2 * calibrated["layer_1/output/scale"]}
    assert lowest(broken) < 0.99


def test_what_a_layer_is(vocab_file, vocab_size):
    """The first layer's inputs by TensorFlow: their ranges, and its outputs in 8 bits by NumPy."""
    model = make(vocab_file, vocab_size, **SHAPE)
    weights = weights_of(model)
    found = calibrate(weights, model.encoder.config, batches_of(model, MANY))
    assert {name.rpartition("/")[0] for name in found} == set(linear_layers(model.encoder.config))
    packed = model.preprocessor(tf.constant(MANY))
    ids, mask = packed["input_word_ids"].numpy(), packed["input_mask"].numpy() > 0
    summed = weights["embeddings/word"][ids] + weights["embeddings/type"][0]
    summed = summed + weights["embeddings/position"][: ids.shape[1]]
    summed -= summed.mean(axis=-1, keepdims=True)
    inputs = summed / np.sqrt(np.square(summed).mean(axis=-1, keepdims=True) + 1e-12)
    name = "embeddings/layer_norm"
    inputs = (inputs * weights[f"{name}/scale"] + weights[f"{name}/offset"])[mask]
    name = "layer_0/attention_qkv"
    centre = (inputs.min(axis=0) + inputs.max(axis=0)) / 2
    np.testing.assert_allclose(found[f"{name}/centre"], centre, atol=1e-4)
    step = found[f"{name}/step"]
    assert (np.abs(inputs - centre) <= 127 * step + 1e-3).all()
    rounded = np.rint((inputs - found[f"{name}/centre"]) / step)
    outputs = rounded @ found[f"{name}/numbers"].T.astype(np.float64)
    outputs = outputs * found[f"{name}/scale"] + found[f"{name}/bias"]
    expected = inputs @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]
    assert np.abs(outputs - expected).max() < 0.03 * np.abs(expected).max()


def test_padding_does_not_count(vocab_file, vocab_size):
    model = make(vocab_file, vocab_size, **SHAPE)
    weights, config = weights_of(model), model.encoder.config
    padded = calibrate(weights, config, batches_of(model, MANY))
    alone = calibrate(weights, config, batches_of(model, MANY, batch_tokens=1))
    for name, value in padded.items():
        if name.endswith("/numbers"):  # a rounding that was close may be another
            assert np.abs(value.astype(int) - alone[name]).mean() < 0.01
        else:
            np.testing.assert_allclose(value, alone[name], rtol=1e-3, atol=1e-5)


def test_what_cannot_be_calibrated(vocab_file, vocab_size):
    model = make(vocab_file, vocab_size, **SHAPE)
    weights, config = weights_of(model), model.encoder.config
    with pytest.raises(ValueError, match="not one sentence"):
        calibrate(weights, config, [])
    weights["layer_0/attention_qkv/kernel"][:] = np.nan
    with pytest.raises(ValueError, match=r"'layer_0/attention_qkv', or what .* not finite"):
        calibrate(weights, config, batches_of(model, MANY))


def test_config_of_a_model_without_layers():
    assert linear_layers(labse_tf.EncoderConfig(10, num_layers=0)) == {}
