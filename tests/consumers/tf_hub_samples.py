"""TF-Hub's sample code: python tf_hub_samples.py ENCODER PREPROCESSOR INPUTS OUT

ENCODER and PREPROCESSOR are directories of `--split`; in a whole release they are its attributes,
named RELEASE:encoder and RELEASE:preprocessor. What the samples compute goes to OUT (.npz).
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.modules["labse_tf"] = None  # `import labse_tf` raises ImportError

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text as text  # noqa: F401  registers the ops
import tf_keras


def google_labse_2(encoder_handle, preprocessor_handle, sentences):
    """The sample of https://tfhub.dev/google/LaBSE/2."""
    preprocessor = hub.KerasLayer(preprocessor_handle)
    encoder = hub.KerasLayer(encoder_handle)
    embeds = encoder(preprocessor(tf.constant(sentences)))["default"]
    norms = np.linalg.norm(embeds, 2, axis=1, keepdims=True)
    return embeds / norms


def google_labse_1(encoder_handle, inputs):
    """The sample of https://tfhub.dev/google/LaBSE/1, on ids that are given."""
    max_seq_length = inputs["input_word_ids"].shape[1]
    labse_layer = hub.KerasLayer(encoder_handle, trainable=True)
    input_word_ids = tf_keras.layers.Input(
        shape=(max_seq_length,), dtype=tf.int32, name="input_word_ids"
    )
    input_mask = tf_keras.layers.Input(shape=(max_seq_length,), dtype=tf.int32, name="input_mask")
    segment_ids = tf_keras.layers.Input(shape=(max_seq_length,), dtype=tf.int32, name="segment_ids")
    pooled_output, _ = labse_layer([input_word_ids, input_mask, segment_ids])
    pooled_output = tf_keras.layers.Lambda(lambda x: tf.nn.l2_normalize(x, axis=1))(pooled_output)
    model = tf_keras.Model(inputs=[input_word_ids, input_mask, segment_ids], outputs=pooled_output)
    vocab_file = labse_layer.resolved_object.vocab_file.asset_path.numpy()
    do_lower_case = labse_layer.resolved_object.do_lower_case.numpy()
    with open(vocab_file, "rb") as file:
        vocabulary = np.frombuffer(file.read(), np.uint8)
    rows = model([inputs[n] for n in ("input_word_ids", "input_mask", "input_type_ids")])
    return rows, vocabulary, do_lower_case


def pack_two_segments(preprocessor_handle, first, second, seq_length):
    """The preprocessor's page: two string inputs, packed to another length."""
    preprocessor = (
        hub.load(preprocessor_handle)
        if isinstance(preprocessor_handle, str)
        else (preprocessor_handle)
    )
    text_inputs = [tf_keras.layers.Input(shape=(), dtype=tf.string) for _ in range(2)]
    tokenize = hub.KerasLayer(preprocessor.tokenize)
    tokenized_inputs = [tokenize(segment) for segment in text_inputs]
    bert_pack_inputs = hub.KerasLayer(
        preprocessor.bert_pack_inputs, arguments=dict(seq_length=seq_length)
    )
    encoder_inputs = bert_pack_inputs(tokenized_inputs)
    model = tf_keras.Model(text_inputs, encoder_inputs)
    return model([tf.constant(first), tf.constant(second)])


def build_classifier_model(encoder_handle, preprocessor_handle):
    """`build_classifier_model` of https://www.tensorflow.org/text/tutorials/classify_text_with_bert."""
    text_input = tf_keras.layers.Input(shape=(), dtype=tf.string, name="text")
    preprocessing_layer = hub.KerasLayer(preprocessor_handle, name="preprocessing")
    encoder_inputs = preprocessing_layer(text_input)
    encoder = hub.KerasLayer(encoder_handle, trainable=True, name="BERT_encoder")
    outputs = encoder(encoder_inputs)
    net = outputs["pooled_output"]
    net = tf_keras.layers.Dropout(0.1)(net)
    net = tf_keras.layers.Dense(1, activation=None, name="classifier")(net)
    return tf_keras.Model(text_input, net)


def classify(encoder_handle, preprocessor_handle, sentences):
    """Trains the tutorial's classifier to tell sentences at odd places from others."""
    tf_keras.utils.set_random_seed(1)
    model = build_classifier_model(encoder_handle, preprocessor_handle)
    pooled = tf_keras.Model(model.input, model.get_layer("BERT_encoder").output["pooled_output"])
    yield "classifier/pooled before", pooled(sentences)
    yield "classifier/weights", len(model.get_layer("BERT_encoder").trainable_weights)
    weights = model.get_layer("BERT_encoder").trainable_weights
    before = [np.copy(weight) for weight in weights]
    labels = np.arange(len(sentences), dtype=np.float32)[:, None] % 2
    model.compile(
        optimizer=tf_keras.optimizers.Adam(3e-3),
        loss=tf_keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[tf_keras.metrics.BinaryAccuracy(threshold=0.0)],
    )
    data = tf.data.Dataset.from_tensor_slices((sentences, labels)).batch(len(sentences))
    history = model.fit(x=data.repeat(), steps_per_epoch=40, epochs=2, verbose=0)
    yield "classifier/loss", history.history["loss"]
    yield "classifier/accuracy", model.evaluate(data, verbose=0)[1]
    moved = [np.abs(a - b).max() for a, b in zip(before, weights, strict=True)]
    yield "classifier/moved", moved


def part(handle):
    path, _, name = handle.partition(":")
    return getattr(hub.load(path), name) if name else path


def main(encoder, preprocessor, inputs, output):
    encoder, preprocessor = part(encoder), part(preprocessor)
    with open(inputs, encoding="utf-8") as file:
        sentences = tf.constant(json.load(file))
    found = {"LaBSE/2": google_labse_2(encoder, preprocessor, sentences)}
    ids = hub.KerasLayer(preprocessor)(sentences)
    outputs = hub.KerasLayer(encoder)(ids)
    for name, value in [*ids.items(), *outputs.items()]:
        found[name] = value
    if isinstance(encoder, str):  # version 1 has its vocabulary beside the encoder
        found["LaBSE/1"], found["vocabulary"], found["lower_case"] = google_labse_1(encoder, ids)
    reverse = tf.reverse(sentences, [0])
    for name, value in pack_two_segments(preprocessor, sentences, reverse, 11).items():
        found[f"pack/{name}"] = value
    found.update(classify(encoder, preprocessor, sentences))
    np.savez(output, **{name: np.asarray(value) for name, value in found.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
