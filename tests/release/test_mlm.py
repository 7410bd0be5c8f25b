"""A release whose encoder predicts masked word pieces: `.mlm`, as TF-Hub's text encoders."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from scipy.special import erf

import labse_tf
from export import saved_model as program
from labse_tf.encoder.masked_language_head import MaskedLanguageHead
from labse_tf.training import pretraining
from labse_tf.training.fine_tuning import fine_tune
from labse_tf.training.run_directory import load_head, load_run
from tests.running import call
from tests.training import runs
from tests.training.pretraining_runs import (
    CONFIG,
    OBJECTS,
    SUBJECTS,
    VERBS,
    make_model,
    write_pairs,
    write_vocabulary,
)


def random_head(*arguments):
    """As if it were trained: no bias is 0."""
    head = MaskedLanguageHead(*arguments)
    rng = np.random.default_rng(2)
    for weight in head.weights:
        weight.assign(rng.normal(scale=0.3, size=weight.shape) + ("scale" in weight.name))
    return head


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of pre-training that was only started."""
    tmp_path = tmp_path_factory.mktemp("pretraining")
    pairs = write_pairs(tmp_path / "xx-yy.tsv")
    model = make_model(write_vocabulary(tmp_path / "vocab.txt"))
    config = dataclasses.replace(CONFIG, steps=0, stages="", tlm_share=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretraining, "MaskedLanguageHead", random_head)
        pretraining.pretrain(model, [pairs], [], config, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="module")
def releases(run):
    """Its release by whether it is split."""
    paths = {split: run.parent / f"release-{split}" for split in (False, True)}
    for split, path in paths.items():
        call(program.main, run, path, "--mlm", *["--split"] * split)
    return paths


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
def test_it_is_the_head_on_the_encoder(run, releases, split):
    path = releases[split]
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
    # What translation ranking starts from.
    read = labse_tf.load(path / "encoder" if split else path)
    runs.assert_same(read, model)
    np.testing.assert_allclose(read.encode(["Tom sat"]), model.encode(["Tom sat"]), atol=1e-6)


def test_a_keras_layer_trains_it(run, releases):
    layer = hub.KerasLayer(hub.load(str(releases[False])).encoder.mlm, trainable=True)
    inputs, hidden = masked(load_run(run))
    with tf.GradientTape() as tape:
        logits = layer(inputs, training=True)["mlm_logits"][:, 0]
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(hidden, logits)
    gradients = tape.gradient(loss, layer.trainable_weights)
    still = {w.name for w, g in zip(layer.trainable_weights, gradients) if not np.any(g)}
    # All but the pooler, which has no part in it.
    assert still == {"pooler/kernel:0", "pooler/bias:0"}


def test_without_it_there_is_none(run, tmp_path):
    call(program.main, run, tmp_path / "release")
    assert not hasattr(hub.load(str(tmp_path / "release")).encoder, "mlm")


def test_a_run_of_translation_ranking_has_no_head(vocab_file, vocab_size, tmp_path):
    pairs = runs.write_pairs(tmp_path / "a-b.tsv")
    model = runs.make_model(vocab_file, vocab_size)
    fine_tune(model, [pairs], dataclasses.replace(runs.CONFIG, steps=0), tmp_path / "run")
    message = call(program.main, tmp_path / "run", tmp_path / "release", "--mlm", status=2)
    assert message.startswith("error: ") and "translation ranking, which has no head" in message
    assert not (tmp_path / "release").exists()
