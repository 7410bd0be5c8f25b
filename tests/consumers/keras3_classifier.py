"""A Keras 3 user of a release: python keras3_classifier.py RELEASE INPUTS OUT

What is found goes to OUT (.npz).
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from labse_tf.keras3 import LaBSELayer


def classifier(release, trainable):
    keras.utils.set_random_seed(1)
    text = keras.Input(shape=(), dtype="string", name="text")
    embedding = LaBSELayer(release, trainable=trainable, name="labse")(text)
    scores = keras.layers.Dense(1, name="classifier")(keras.layers.Dropout(0.1)(embedding))
    model = keras.Model(text, scores)
    model.compile(
        optimizer=keras.optimizers.Adam(3e-3),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy(threshold=0.0)],
    )
    return model


def trained(name, model, sentences):
    """Trains it to tell sentences at odd places from others."""
    labels = np.arange(len(sentences), dtype=np.float32)[:, None] % 2
    layer = model.get_layer("labse")
    before = [np.copy(w) for w in layer.weights]
    history = model.fit(
        tf.constant(sentences), labels, batch_size=len(sentences), epochs=80, verbose=0
    )
    yield f"{name}/loss", [history.history["loss"][i] for i in (0, -1)]
    yield f"{name}/accuracy", model.evaluate(tf.constant(sentences), labels, verbose=0)[1]
    yield f"{name}/moved", [np.abs(a - b).max() for a, b in zip(before, layer.weights)]
    yield f"{name}/trainable", len(layer.trainable_weights)
    yield f"{name}/slots", len(model.optimizer.variables)


def read(release, sentences, folder):
    layer = LaBSELayer(release, trainable=True)
    strings = tf.constant(sentences)
    yield "layer", layer(strings)
    yield "column", layer(strings[:, tf.newaxis])
    yield "array", layer(np.array(sentences))
    served = tf.saved_model.load(release)
    ids = served.preprocessor(strings)
    yield "ids", layer(ids)
    yield "ids/int64", layer({name: tf.cast(value, tf.int64) for name, value in ids.items()})
    yield "training", layer(strings, training=True)
    yield "training again", layer(strings, training=True)
    yield "ids/training", layer(ids, training=True)
    frozen = LaBSELayer(release)
    yield "frozen layer/training", frozen(strings, training=True)
    yield "frozen layer/trainable", len(frozen.trainable_weights)
    yield "frozen layer/weights", len(frozen.weights)
    yield "names", [weight.name for weight in layer.weights]
    yield "paths", sorted({weight.path for weight in layer.weights})

    model = classifier(release, True)
    yield from trained("loose", model, sentences)
    yield "loose/embeddings", model.get_layer("labse")(strings)
    yield "loose/scores", model(strings)
    model.save(os.path.join(folder, "model.keras"))
    again = keras.models.load_model(os.path.join(folder, "model.keras"))
    yield "loaded/scores", again(strings)
    yield "loaded/slots", [np.abs(v).max() for v in again.optimizer.variables]
    yield "loaded/trainable", len(again.get_layer("labse").trainable_weights)
    model.save_weights(os.path.join(folder, "model.weights.h5"))
    fresh = classifier(release, True)
    fresh.load_weights(os.path.join(folder, "model.weights.h5"))
    yield "weights file/scores", fresh(strings)
    frozen = classifier(release, False)
    yield from trained("frozen", frozen, sentences)
    frozen.get_layer("labse").trainable = True
    frozen.compile("adam", "mse")
    yield "thawed/trainable", len(frozen.trainable_variables)

    sequential = keras.Sequential(
        [keras.Input(shape=(1,), dtype="string"), LaBSELayer(release), keras.layers.Dense(3)]
    )
    yield "sequential", sequential.predict(strings[:, tf.newaxis], verbose=0)
    yield "sequential/by hand", layer(strings) @ sequential.layers[-1].kernel
    from_ids = {name: keras.Input(shape=(None,), dtype="int32", name=name) for name in ids}
    functional = keras.Model(from_ids, LaBSELayer(release)(from_ids))
    yield "functional ids", functional.predict({k: v.numpy() for k, v in ids.items()}, verbose=0)

    keras.config.set_dtype_policy("mixed_float16")
    mixed = classifier(release, True)
    yield "mixed", mixed.get_layer("labse")(strings)
    yield "mixed/head", mixed.get_layer("classifier").compute_dtype
    yield "mixed/dtypes", sorted({w.dtype for w in mixed.get_layer("labse").weights})
    mixed.fit(strings, np.zeros([len(sentences), 1]), verbose=0)
    yield "mixed/finite", np.isfinite(mixed(strings)).all()


def main(release, inputs, output):
    with open(inputs, encoding="utf-8") as file:
        sentences = json.load(file)
    found = {n: np.asarray(v) for n, v in read(release, sentences, os.path.dirname(output) or ".")}
    found["imported"] = [
        n for n in ("tf_keras", "labse_tf.encoder.encoder", "official") if n in sys.modules
    ]
    np.savez(output, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
