"""A release whose encoder predicts masked word pieces: `.mlm`, as TF-Hub's text encoders."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from scipy.special import erf

import labse_tf
from export import saved_model as program
from labse_tf.training.fine_tuning import fine_tune
from labse_tf.training.pretraining import pretrain
from labse_tf.training.run_directory import load_head, load_run
from tests.training import test_fine_tuning
from tests.training.test_pretraining import CONFIG, OBJECTS, SUBJECTS, VERBS, new_model, write_pairs

__all__ = ["new_model"]  # a fixture


@pytest.fixture(scope="module")
def run(new_model, tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("pretraining")
    pairs = write_pairs(tmp_path / "xx-yy.tsv")
    config = dataclasses.replace(CONFIG, steps=10, batch_size=32, stages="", tlm_share=0.0)
    pretrain(new_model(2), [pairs], [], config, tmp_path / "run")
    return tmp_path / "run"


def masked(model, place=2):
    """Each of the four sentences with one word hidden, and what was asked for."""
    sentences = [" ".join(words) for words in zip(SUBJECTS, VERBS, OBJECTS, strict=True)]
    inputs = {name: x.numpy() for name, x in model.preprocessor(tf.constant(sentences)).items()}
    hidden = inputs["input_word_ids"][:, place].copy()
    inputs["input_word_ids"][:, place] = 4  # [MASK]
    inputs["masked_lm_positions"] = np.tile(np.int32([place, 1]), [4, 1])
    return {name: tf.constant(x, tf.int32) for name, x in inputs.items()}, hidden


def by_numpy(model, head, inputs):
    """Dense, gelu, layer norm, and products with the word embeddings."""
    tokens = model.encoder({k: v for k, v in inputs.items() if "positions" not in k})
    tokens = tokens["sequence_output"].numpy().astype(np.float64)
    x = np.take_along_axis(tokens, inputs["masked_lm_positions"].numpy()[:, :, None], axis=1)
    x = x @ head.dense.kernel.numpy() + head.dense.bias.numpy()
    x = x * 0.5 * (1 + erf(x / np.sqrt(2)))
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
    x = x * head.layer_norm.scale.numpy() + head.layer_norm.offset.numpy()
    return x @ model.encoder.embeddings.word.numpy().T + head.bias.numpy()


@pytest.mark.parametrize("split", [False, True])
def test_it_is_the_head_on_the_encoder(run, tmp_path, split):
    path = tmp_path / "release"
    program.main([str(run), str(path), "--mlm", *["--split"] * split])
    encoder = hub.load(str(path / "encoder")) if split else hub.load(str(path)).encoder
    model, head = load_run(run), load_head(run)
    inputs, _ = masked(model)
    outputs = encoder.mlm(inputs)
    assert set(outputs) == {"default", "pooled_output", "sequence_output", "mlm_logits"}
    logits = outputs["mlm_logits"].numpy()
    assert logits.shape == (4, 2, 17) and logits.dtype == np.float32
    np.testing.assert_allclose(logits, by_numpy(model, head, inputs), atol=1e-4)
    # What it is beside is as ever.
    ids = {name: x for name, x in inputs.items() if name != "masked_lm_positions"}
    np.testing.assert_allclose(outputs["default"], encoder(ids)["default"], atol=1e-6)
    read = labse_tf.load(path / "encoder" if split else path)
    np.testing.assert_allclose(read.encode(["Tom sat"]), model.encode(["Tom sat"]), atol=1e-6)


def test_a_keras_layer_trains_it(run, tmp_path):
    program.main([str(run), str(tmp_path / "release"), "--mlm"])
    layer = hub.KerasLayer(hub.load(str(tmp_path / "release")).encoder.mlm, trainable=True)
    inputs, hidden = masked(load_run(run))
    with tf.GradientTape() as tape:
        logits = layer(inputs, training=True)["mlm_logits"][:, 0]
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(hidden, logits)
    gradients = tape.gradient(loss, layer.trainable_weights)
    still = {w.name for w, g in zip(layer.trainable_weights, gradients) if not np.any(g)}
    # All but the pooler, which has no part in it.
    assert still == {"pooler/kernel:0", "pooler/bias:0"}


def test_without_it_there_is_none(run, tmp_path):
    program.main([str(run), str(tmp_path / "release")])
    assert not hasattr(hub.load(str(tmp_path / "release")).encoder, "mlm")


def test_a_run_of_translation_ranking_has_no_head(vocab_file, vocab_size, tmp_path):
    pairs = test_fine_tuning.write_pairs(tmp_path / "a-b.tsv")
    model = test_fine_tuning.make_model(vocab_file, vocab_size)
    config = dataclasses.replace(test_fine_tuning.CONFIG, steps=0)
    fine_tune(model, [pairs], config, tmp_path / "run")
    with pytest.raises(ValueError, match="translation ranking, which has no head"):
        program.main([str(tmp_path / "run"), str(tmp_path / "release"), "--mlm"])
    assert not (tmp_path / "release").exists()
