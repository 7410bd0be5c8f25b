"""Model Garden checkpoints: read as its own encoder computes them, written as it restores them."""

import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from official.legacy.bert.configs import BertConfig
from official.nlp.modeling import layers, models
from official.nlp.modeling.networks import BertEncoder, BertEncoderV2

import labse_tf
from labse_tf.pretrained import model_garden
from tests import model_garden as garden
from tests.conftest import SENTENCES


@pytest.fixture(scope="module")
def config(vocab_size):
    return garden.bert_config(vocab_size)


@pytest.fixture(scope="module")
def directory(config, vocab_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("garden") / "run"
    return garden.write_checkpoint(folder, config, vocab_file, encoder=garden.make_encoder(config))


def assert_same_numbers(model, encoder, vocab_file):
    inputs = garden.packed(SENTENCES, vocab_file)
    for name, ids in model.preprocessor(tf.constant(SENTENCES)).items():
        np.testing.assert_array_equal(ids, inputs[name])
    inputs = garden.with_both_types(inputs)
    try:
        expected = encoder(inputs)
    except (TypeError, ValueError):
        expected = encoder([inputs[name] for name in garden.INPUTS])
    if isinstance(expected, list):
        expected = dict(zip(("sequence_output", "pooled_output"), expected, strict=True))
    outputs = model.encoder(inputs)
    assert np.ptp(expected["pooled_output"].numpy(), axis=0).max() > 0.05
    for name in ("sequence_output", "pooled_output"):
        np.testing.assert_allclose(outputs[name], expected[name], atol=1e-5, rtol=0)


def test_encoder(directory, config, vocab_file, vocab_size):
    for path in (directory, directory / "labse_model.ckpt-1"):
        model = labse_tf.load(path)
        assert_same_numbers(model, garden.make_encoder(config), vocab_file)
    assert model.encoder.config == labse_tf.EncoderConfig(
        vocab_size=vocab_size, hidden_size=24, num_layers=2, num_heads=4, intermediate_size=40,
        max_positions=32, activation="gelu_tanh", dropout=0.2,
    )  # fmt: skip


def test_model_with_optimizer(config, vocab_file, tmp_path):
    encoder = garden.make_encoder(config)
    optimizer = tf_keras.optimizers.Adam()
    optimizer.build(encoder.trainable_variables)
    legacy = tf_keras.optimizers.legacy.Adam()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(encoder([tf.ones([1, 4], tf.int32)] * 3)[1])
    variables = encoder.trainable_variables
    legacy.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
    run = garden.write_checkpoint(
        tmp_path / "run", config, vocab_file, model=encoder, optimizer=optimizer, legacy=legacy
    )
    assert_same_numbers(labse_tf.load(run), encoder, vocab_file)


def test_second_version_of_the_encoder(config, vocab_size, vocab_file, tmp_path):
    encoder = BertEncoderV2(
        vocab_size=vocab_size, hidden_size=24, num_layers=2, num_attention_heads=4,
        max_sequence_length=32, type_vocab_size=2, inner_dim=40,
    )  # fmt: skip
    encoder(garden.packed(["x"], vocab_file))
    garden.randomised(encoder)
    run = garden.write_checkpoint(tmp_path / "run", config, vocab_file, encoder=encoder)
    assert_same_numbers(labse_tf.load(run), encoder, vocab_file)


def test_heads_of_pre_training_are_left_out(config, vocab_file, tmp_path):
    encoder = garden.make_encoder(config)
    pretrainer = models.BertPretrainerV2(
        encoder, classification_heads=[layers.ClassificationHead(24, 2, name="next_sentence")]
    )
    inputs = [tf.ones([1, 4], tf.int32)] * 3
    pretrainer(
        dict(zip(garden.INPUTS, inputs, strict=True), masked_lm_positions=tf.ones([1, 2], tf.int32))
    )
    run = garden.write_checkpoint(tmp_path / "run", config, vocab_file, model=pretrainer)
    assert_same_numbers(labse_tf.load(run), encoder, vocab_file)


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "relu"])
def test_the_model_garden_restores_what_is_written(activation, vocab_file, vocab_size, tmp_path):
    config = labse_tf.EncoderConfig(
        vocab_size, 24, 2, 4, 40, 32, activation=activation, dropout=0.3, initializer_range=0.01
    )
    encoder = garden.randomised(labse_tf.Encoder(config))
    model = labse_tf.LaBSE(labse_tf.Preprocessor(vocab_file, 32), encoder)
    model_garden.write(tmp_path / "out", model.preprocessor, encoder)
    theirs = BertEncoder(
        vocab_size=vocab_size, hidden_size=24, num_layers=2, num_attention_heads=4,
        max_sequence_length=32, type_vocab_size=2, inner_dim=40, dict_outputs=True,
        inner_activation=lambda x: tf.nn.relu(x)
        if activation == "relu"
        else tf.nn.gelu(x, approximate=activation == "gelu_tanh"),
    )  # fmt: skip
    checkpoint = tf.train.Checkpoint(encoder=theirs)
    checkpoint.read(str(tmp_path / "out" / "bert_model.ckpt")).assert_consumed()
    assert_same_numbers(model, theirs, vocab_file)
    again = labse_tf.load(tmp_path / "out")
    assert again.encoder.config == config
    for a, b in zip(encoder.weights, again.encoder.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(FileExistsError, match="out"):
        model_garden.write(tmp_path / "out", model.preprocessor, encoder)


def test_lower_case_is_in_the_vocabulary_name(vocab_file, vocab_size, tmp_path):
    encoder = labse_tf.Encoder(labse_tf.EncoderConfig(vocab_size, 24, 1, 4, 40, 32))
    for lower_case in (False, True):
        preprocessor = labse_tf.Preprocessor(vocab_file, 16, lower_case)
        model_garden.write(tmp_path / str(lower_case), preprocessor, encoder)
        assert labse_tf.load(tmp_path / str(lower_case)).preprocessor.lower_case == lower_case


@pytest.mark.parametrize(
    ("options", "written"),
    [
        ({"max_word_bytes": 100}, {}),
        ({"max_word_bytes": None}, {"max_word_bytes"}),
        ({"max_word_bytes": 40}, {"max_word_bytes"}),
        (
            {"tokenization": "hugging-face", "max_word_characters": 70},
            {"tokenization", "max_word_bytes", "max_word_characters"},
        ),
    ],
)
def test_tokenization_is_in_fields_that_the_model_garden_passes_over(
    options, written, vocab_file, vocab_size, tmp_path
):
    encoder = labse_tf.Encoder(labse_tf.EncoderConfig(vocab_size, 24, 1, 4, 40, 32))
    preprocessor = labse_tf.Preprocessor(vocab_file, 16, **options)
    model_garden.write(tmp_path / "out", preprocessor, encoder)
    file = tmp_path / "out" / "bert_config.json"
    names = {"tokenization", "max_word_bytes", "max_word_characters"}
    assert names & set(json.loads(file.read_text())) == set(written)
    found = labse_tf.load(tmp_path / "out").preprocessor
    assert {n: getattr(found, n) for n in names} == {n: getattr(preprocessor, n) for n in names}
    theirs = BertConfig.from_json_file(str(file))
    assert (theirs.hidden_size, theirs.num_hidden_layers) == (24, 1)


def test_what_the_model_garden_has_no_form_for(vocab_file, vocab_size, tmp_path):
    preprocessor = labse_tf.Preprocessor(vocab_file, 16)
    shape = dict(hidden_size=24, num_heads=4, intermediate_size=40, max_positions=32)
    for changes, said in (
        ({"pooling": "mean"}, "'mean'"),
        ({"num_layers": 0}, "at least one layer"),
        ({"layer_norm_epsilon": 1e-5}, "1e-05"),
    ):
        config = labse_tf.EncoderConfig(vocab_size, **{**shape, "num_layers": 1, **changes})
        with pytest.raises(ValueError, match=said):
            model_garden.write(tmp_path / "out", preprocessor, labse_tf.Encoder(config))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"vocab_size": 7}, r"word_embeddings/embeddings' has shape \[\d+, 24\].*\[7, 24\]"),
        ({"num_attention_heads": 3}, r"query/kernel' has shape \[24, 4, 6\].*\[24, 3, 8\]"),
        ({"num_hidden_layers": 3}, r"lacks the variable 'transformer/layer_2/"),
        ({"num_hidden_layers": 1}, r"no place for: \['transformer/layer_1/"),
        ({"intermediate_size": 41}, r"layer_0/intermediate/kernel' has shape \[24, 40\]"),
        ({"hidden_act": "swish"}, r"bert_config.json: the activation 'swish'"),
        ({"num_attention_heads": 5}, r"bert_config.json: `hidden_size` \(=24\)"),
        ({"norm_first": True}, "bert_config.json: `norm_first`"),
        ({"embedding_size": 12}, "factorised"),
        ({"max_word_bytes": "100"}, "bert_config.json: `max_word_bytes` must be .*'100'"),
        ({"max_word_bytes": 0}, "bert_config.json: `max_word_bytes`"),
    ],
)
def test_a_configuration_of_another_model(directory, config, tmp_path, changes, said):
    copy = tmp_path / "run"
    copy.mkdir()
    for file in directory.iterdir():
        os.link(file, copy / file.name)
    (copy / "bert_config.json").unlink()
    (copy / "bert_config.json").write_text(json.dumps({**config.to_dict(), **changes}))
    with pytest.raises(ValueError, match=said) as error:
        labse_tf.load(copy)
    assert str(copy) in str(error.value)


def test_encoder_config_of_the_newer_tools(directory, config, vocab_file, tmp_path):
    from official.nlp.configs.encoders import BertEncoderConfig

    for file in directory.iterdir():
        if file.name != "bert_config.json":
            os.link(file, tmp_path / file.name)
    newer = BertEncoderConfig(
        vocab_size=config.vocab_size, hidden_size=24, num_layers=2, num_attention_heads=4,
        intermediate_size=40, max_position_embeddings=32, hidden_activation="gelu",
    )  # fmt: skip
    (tmp_path / "encoder_config.json").write_text(json.dumps(newer.as_dict()))
    assert_same_numbers(labse_tf.load(tmp_path), garden.make_encoder(config), vocab_file)


def test_missing_parts(directory, config, vocab_file, tmp_path):
    def copy(name, *left_out):
        (tmp_path / name).mkdir()
        for file in directory.iterdir():
            if not file.name.startswith(left_out):
                os.link(file, tmp_path / name / file.name)
        return tmp_path / name

    with pytest.raises(FileNotFoundError, match=r"one file \*vocab\*.txt, but it holds none"):
        labse_tf.load(copy("vocabulary", "cased"))
    model = labse_tf.load(tmp_path / "vocabulary", vocab_file=vocab_file)
    assert_same_numbers(model, garden.make_encoder(config), vocab_file)
    with pytest.raises(FileNotFoundError, match=r"absent\.txt"):
        labse_tf.load(tmp_path / "vocabulary", vocab_file=tmp_path / "absent.txt")
    with pytest.raises(ValueError, match="no model that labse_tf knows"):
        labse_tf.load(copy("configuration", "bert_config"))
    with pytest.raises(FileNotFoundError, match=r"none of bert_config\.json"):
        labse_tf.load(tmp_path / "configuration" / "labse_model.ckpt-1")
    with pytest.raises(ValueError, match=r"labse_model\.ckpt-1"):
        labse_tf.load(copy("data", "labse_model.ckpt-1.data"))


def test_a_checkpoint_without_pooler_and_one_of_integers(config, vocab_file, tmp_path):
    encoder = garden.make_encoder(config)
    weights = {str(i): w for i, w in enumerate(encoder.weights)}
    pooler = {k: w for k, w in weights.items() if "pooler" not in w.name}
    run = garden.write_checkpoint(
        tmp_path / "no-pooler", config, vocab_file, model=tf.train.Checkpoint(**pooler)
    )
    with pytest.raises(ValueError, match="lacks the variable 'pooler_transform/kernel'"):
        labse_tf.load(run)
    for key, weight in weights.items():
        if "pooler_transform/bias" in weight.name:
            weights[key] = tf.Variable(tf.zeros([24], tf.int32), name="pooler_transform/bias")
    run = garden.write_checkpoint(
        tmp_path / "integers", config, vocab_file, model=tf.train.Checkpoint(**weights)
    )
    with pytest.raises(ValueError, match="'pooler_transform/bias' is int32"):
        labse_tf.load(run)


def test_files_that_hold_something_else(directory, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(directory, folder)
    (config_file,) = folder.glob("bert_config.json")
    for text, said in (
        ("{", "bert_config.json: not JSON"),
        ("[]", "must be a JSON object, not list"),
    ):
        config_file.write_text(text)
        with pytest.raises(ValueError, match=said):
            labse_tf.load(folder)


def test_two_checkpoints_and_none_named_the_newest(directory, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(directory, folder)
    (folder / "checkpoint").unlink(missing_ok=True)
    (index,) = folder.glob("*.index")
    shutil.copyfile(index, folder / "another.index")
    with pytest.raises(FileNotFoundError, match=r"should hold one checkpoint.*another.index"):
        labse_tf.load(folder)


def test_a_checkpoint_that_cannot_be_written(model, tmp_path, monkeypatch):
    def full(self, path):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.train.Checkpoint, "write", full)
    with pytest.raises(OSError, match=r"could not be written: No space left on device"):
        model_garden.write(tmp_path / "garden", model.preprocessor, model.encoder)
    assert list(tmp_path.iterdir()) == []
