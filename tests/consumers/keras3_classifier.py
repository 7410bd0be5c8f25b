"""A Keras 3 user of a release: python keras3_classifier.py RELEASE INPUTS OUT

INPUTS (.json) has `sentences`, and `ids`, what the release's preprocessor makes of them. What is
found goes to OUT (.npz). A true process: fresh ones of `tests.fresh` have imported tf_keras.
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
        optimizer=keras.optimizers.Adam(1e-2),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy(threshold=0.0)],
    )
    return model


def trained(name, model, sentences, epochs):
    """Trains it to tell sentences at odd places from others."""
    labels = np.arange(len(sentences), dtype=np.float32)[:, None] % 2
    layer = model.get_layer("labse")
    before = [np.copy(w) for w in layer.weights]
    batch = tf.constant(sentences), labels
    # Measured without dropout: what a release drops is another part every time.
    first = model.evaluate(*batch, batch_size=len(sentences), verbose=0)[0]
    model.fit(*batch, batch_size=len(sentences), epochs=epochs, verbose=0)
    last = model.evaluate(*batch, batch_size=len(sentences), verbose=0)[0]
    yield f"{name}/loss", [first, last]
    yield f"{name}/right", (model(tf.constant(sentences)).numpy() > 0) == labels
    yield f"{name}/moved", [np.abs(a - b).max() for a, b in zip(before, layer.weights)]
    yield f"{name}/trainable", len(layer.trainable_weights)
    yield f"{name}/slots", len(model.optimizer.variables)


def embedded(layer, sentences, ids):
    """A layer that may be trained, before it is."""
    strings = tf.constant(sentences)
    yield "layer", layer(strings)
    yield "column", layer(strings[:, tf.newaxis])
    yield "array", layer(np.array(sentences))
    yield "ids", layer(ids)
    yield "ids/int64", layer({name: tf.cast(value, tf.int64) for name, value in ids.items()})
    yield "training", layer(strings, training=True)
    yield "training again", layer(strings, training=True)
    yield "ids/training", layer(ids, training=True)
    yield "names", [weight.name for weight in layer.weights]
    yield "paths", sorted({weight.path for weight in layer.weights})


def fine_tuned(release, model, sentences, folder):
    """Trained, saved whole and its weights alone, and loaded."""
    strings = tf.constant(sentences)
    yield from trained("loose", model, sentences, epochs=40)
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


def frozen(release, sentences, ids):
    """A layer that is not trained, in three models; then it is."""
    strings = tf.constant(sentences)
    model = classifier(release, False)
    layer = model.get_layer("labse")
    yield "frozen layer/training", layer(strings, training=True)
    yield "frozen layer/trainable", len(layer.trainable_weights)
    yield "frozen layer/weights", len(layer.weights)
    yield from trained("frozen", model, sentences, epochs=2)
    sequential = keras.Sequential(
        [keras.Input(shape=(1,), dtype="string"), layer, keras.layers.Dense(3)]
    )
    yield "sequential", sequential.predict(strings[:, tf.newaxis], verbose=0)
    yield "sequential/by hand", layer(strings) @ sequential.layers[-1].kernel
    bare = keras.Sequential([layer, keras.layers.Dense(3)])  # without an Input
    yield "bare", bare.predict(strings, verbose=0)
    yield "bare/by hand", layer(strings) @ bare.layers[-1].kernel
    from_ids = {name: keras.Input(shape=(None,), dtype="int32", name=name) for name in ids}
    functional = keras.Model(from_ids, layer(from_ids))
    yield "functional ids", functional.predict({k: v.numpy() for k, v in ids.items()}, verbose=0)
    layer.trainable = True
    model.compile("adam", "mse")
    yield "thawed/trainable", len(model.trainable_variables)


def mixed(release, sentences):
    """Under a policy of mixed precision."""
    strings = tf.constant(sentences)
    keras.config.set_dtype_policy("mixed_float16")
    model = classifier(release, True)
    yield "mixed", model.get_layer("labse")(strings)
    yield "mixed/head", model.get_layer("classifier").compute_dtype
    yield "mixed/dtypes", sorted({w.dtype for w in model.get_layer("labse").weights})
    model.optimizer.build(model.trainable_variables)  # else `fit` traces the step twice
    model.fit(strings, np.zeros([len(sentences), 1]), verbose=0)
    yield "mixed/finite", np.isfinite(model(strings)).all()


def read(release, sentences, ids, folder):
    model = classifier(release, True)
    yield from embedded(model.get_layer("labse"), sentences, ids)
    yield from fine_tuned(release, model, sentences, folder)
    yield from frozen(release, sentences, ids)
    yield from mixed(release, sentences)


def main(release, inputs, output):
    with open(inputs, encoding="utf-8") as file:
        found = json.load(file)
    ids = {name: tf.constant(rows) for name, rows in found["ids"].items()}
    results = read(release, found["sentences"], ids, os.path.dirname(output) or ".")
    found = {name: np.asarray(value) for name, value in results}
    found["imported"] = [
        n for n in ("tf_keras", "labse_tf.encoder.encoder", "official") if n in sys.modules
    ]
    np.savez(output, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
