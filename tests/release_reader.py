"""What a process without labse_tf sees of a release: python release_reader.py RELEASE INPUTS OUT

Each result goes to OUT (.npz) under its name; test_saved_model.py knows what it must be.
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.modules["labse_tf"] = None  # `import labse_tf` raises ImportError

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text  # noqa: F401  registers the preprocessor's ops
import tf_keras


def read(path, sentences):
    model = hub.load(path)
    yield "root", model(sentences)
    yield "root/training", model(sentences, training=True)
    yield "root/training again", model(sentences, training=True)
    yield "root/empty batch", model(tf.constant([], tf.string))
    yield "lower_case", model.do_lower_case
    with open(model.vocab_file.asset_path.numpy(), "rb") as file:
        yield "vocabulary", np.frombuffer(file.read(), np.uint8)

    packed = model.preprocessor(sentences)
    yield from named("preprocessor", packed)
    yield from named("preprocessor/empty batch", model.preprocessor(tf.constant([], tf.string)))
    yield from named("encoder", model.encoder(packed))
    tokens = model.preprocessor.tokenize(sentences)
    yield "tokenize", tokens.to_tensor(-1)
    yield from named("special", model.preprocessor.tokenize.get_special_tokens_dict())
    for segments in ([tokens], [tokens, tokens[::-1]]):
        for name, form in (("words", segments), ("pieces", [s.merge_dims(1, 2) for s in segments])):
            result = model.preprocessor.bert_pack_inputs(form, seq_length=tf.constant(9))
            yield from named(f"pack/{len(segments)} {name}", result)
    pack = hub.KerasLayer(model.preprocessor.bert_pack_inputs, arguments={"seq_length": 9})
    yield from named("pack/layer", pack([tokens]))

    serve = model.signatures["serving_default"](sentences=sentences)
    yield from named("serving_default", serve)
    yield from named("token_ids", model.signatures["token_ids"](**packed))

    layer = hub.KerasLayer(path)
    yield "layer", layer(sentences)
    yield "frozen weights", len(keras_model(layer).layers[0].trainable_weights)
    loose = keras_model(hub.KerasLayer(path, trainable=True))
    yield from trained("trained", loose, sentences)
    yield "layer/training", loose.layers[0](sentences, training=True)
    yield "layer/not training", loose.layers[0](sentences)
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        mirrored = keras_model(hub.KerasLayer(path, trainable=True))
    yield "mirrored/layer", mirrored.layers[0](sentences)
    yield from trained("mirrored", mirrored, sentences)

    encoder = hub.KerasLayer(model.encoder, trainable=True)
    yield from named("encoder layer", encoder(packed))
    yield "encoder layer/weights", len(encoder.trainable_weights)
    yield "encoder/losses", len(model.encoder.regularization_losses)
    # Saved once more by someone else, and read again: nothing is lost.
    again = os.path.join(os.path.dirname(path), "saved again")
    tf.saved_model.save(model, again)
    yield "saved again", hub.load(again)(sentences)


def named(name, tensors):
    for key, tensor in tensors.items():
        yield f"{name}/{key}", tensor


def keras_model(layer):
    model = tf_keras.Sequential(
        [
            tf_keras.Input([], dtype=tf.string),
            layer,
            tf_keras.layers.Dense(1, kernel_initializer="ones"),
        ]
    )
    model.compile(tf_keras.optimizers.SGD(0.1), "mse")
    return model


def trained(name, model, sentences):
    """How far one step of `fit` moves each of the layer's weights."""
    before = {w.name: w.numpy() for w in model.layers[0].trainable_weights}
    targets = np.arange(len(sentences), dtype=np.float32)[:, None]
    model.fit(tf.data.Dataset.from_tensors((sentences, targets)), verbose=0)
    for weight in model.layers[0].trainable_weights:
        yield f"{name}/{weight.name}", np.abs(weight.numpy() - before[weight.name]).max()


def main(path, inputs, output):
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    with open(inputs, encoding="utf-8") as file:
        sentences = tf.constant(json.load(file))
    np.savez(output, **{name: np.asarray(value) for name, value in read(path, sentences)})


if __name__ == "__main__":
    main(*sys.argv[1:])
