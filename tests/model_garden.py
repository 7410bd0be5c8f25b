"""Models that the TensorFlow Model Garden's own code makes and writes, with random weights."""

import json

import numpy as np
import tensorflow as tf
import tf_keras
from official.legacy.bert import bert_models, configs
from official.nlp.modeling import models
from official.nlp.modeling.layers import text_layers

INPUTS = ("input_word_ids", "input_mask", "input_type_ids")


def bert_config(vocab_size, **changes):
    fields = dict(
        vocab_size=vocab_size,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=40,
        max_position_embeddings=32,
        type_vocab_size=2,
        hidden_act="gelu",
        hidden_dropout_prob=0.2,
    )
    return configs.BertConfig(**{**fields, **changes})


def make_encoder(config, seed=1):
    """What export_tfhub.py makes of a bert_config.json; no bias is zero, no norm the identity."""
    encoder = bert_models.get_transformer_encoder(config, sequence_length=None)
    return randomised(encoder, seed)


def randomised(model, seed=1):
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(rng.normal(scale=0.3, size=weight.shape) + ("gamma" in weight.name))
    return model


def export_for_tf_hub(encoder, vocab_file, path, normalize=False, do_lower_case=False):
    """export_tfhub.py's export_labse_model, less its flags and its checkpoint."""
    core_model = models.DualEncoder(
        network=encoder, max_seq_length=None, normalize=normalize, output="predictions"
    )
    core_model.vocab_file = tf.saved_model.Asset(str(vocab_file))
    core_model.do_lower_case = tf.Variable(do_lower_case, trainable=False)
    core_model.save(str(path), include_optimizer=False, save_format="tf")


def export_as_version_1(encoder, vocab_file, path):
    """The interface of google/LaBSE/1: lists in, and [pooled, sequence] out."""
    inputs = [tf_keras.layers.Input([None], dtype=tf.int32, name=name) for name in INPUTS]
    sequence, pooled = encoder(inputs)
    pooled = tf_keras.layers.Lambda(lambda x: tf.nn.l2_normalize(x, axis=1))(pooled)
    model = tf_keras.Model(inputs, [pooled, sequence])
    model.vocab_file = tf.saved_model.Asset(str(vocab_file))
    model.do_lower_case = tf.Variable(False, trainable=False)
    model.save(str(path), include_optimizer=False, save_format="tf")


def write_checkpoint(directory, config, vocab_file, **trackables):
    """A run's directory: checkpoint, bert_config.json, vocabulary."""
    directory.mkdir()
    tf.train.Checkpoint(**trackables).save(str(directory / "labse_model.ckpt"))
    (directory / "bert_config.json").write_text(json.dumps(config.to_dict()))
    (directory / "cased_vocab.txt").write_bytes(open(vocab_file, "rb").read())
    return directory


def packed(sentences, vocab_file, width=32, lower_case=False):
    """The token ids by the Model Garden's own layers."""
    tokenizer = text_layers.BertTokenizer(vocab_file=str(vocab_file), lower_case=lower_case)
    packer = text_layers.BertPackInputs(
        width, special_tokens_dict=tokenizer.get_special_tokens_dict()
    )
    return packer([tokenizer(tf.constant(sentences))])


def with_both_types(inputs):
    """The second half of each sentence as another segment."""
    count = tf.reduce_sum(inputs["input_mask"], axis=1, keepdims=True)
    second = tf.range(inputs["input_mask"].shape[1])[tf.newaxis] >= count // 2
    types = tf.cast(second, tf.int32) * inputs["input_mask"]
    return {**inputs, "input_type_ids": types}
