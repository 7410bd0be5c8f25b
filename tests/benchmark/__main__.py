"""make bench: ratios of labse_tf to what others run, interleaved in one process.

Each line times two ways to the same result in turn, after a warm-up of both, and prints the median
of the ratios of neighbours, with their quartiles. Run it with nothing else running.
"""

import gzip
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
import tf_keras
from official.nlp.modeling.layers import text_layers
from official.nlp.modeling.networks import BertEncoder

import labse_tf
from labse_tf.encoder.encoder import INPUTS

ROUNDS, WARM_UP = 15, 3
ROOT = Path(__file__).parents[2]
VOCABULARY = ROOT / "build" / "demo" / "vocab.txt"
CONFIG = dict(hidden_size=256, num_layers=2, num_heads=4, intermediate_size=1024, max_positions=128)


def compare(name, ours, theirs):
    for _ in range(WARM_UP):
        ours()
        theirs()
    # Eager CPU ops are synchronous: when a call returns, its result is there.
    times = np.array([[_seconds(ours), _seconds(theirs)] for _ in range(ROUNDS)])
    low, median, high = np.percentile(times[:, 1] / times[:, 0], [25, 50, 75])
    ms = 1000 * np.median(times[:, 0])
    print(f"{name:58}{median:6.2f} times as fast ({low:.2f} to {high:.2f}); {ms:8.1f} ms")


def _seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def sentences():
    found = []
    for path in sorted((ROOT / "training" / "sample").glob("*.heldout.tsv.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            found += [line.rstrip("\n").split("\t")[0] for line in file]
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))]


def encoders(vocab_size):
    ours = labse_tf.Encoder(labse_tf.EncoderConfig(vocab_size, pooling="cls", **CONFIG))
    theirs = BertEncoder(
        vocab_size=vocab_size,
        hidden_size=CONFIG["hidden_size"],
        num_layers=CONFIG["num_layers"],
        num_attention_heads=CONFIG["num_heads"],
        max_sequence_length=CONFIG["max_positions"],
        inner_dim=CONFIG["intermediate_size"],
        inner_activation=lambda x: tf_keras.activations.gelu(x, approximate=False),
        dict_outputs=True,
    )
    return ours, theirs


def gradient_step(encoder, batch):
    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(encoder(batch, training=True)["pooled_output"] ** 2)
        return tape.gradient(loss, encoder.trainable_variables)

    return step


def main():
    if not VOCABULARY.exists():
        raise SystemExit(f"{VOCABULARY} does not exist. Run `make demo` first: it makes it.")
    preprocessor = labse_tf.Preprocessor(VOCABULARY)
    text = sentences()
    ours, theirs = encoders(preprocessor.vocab_size)
    pieces = preprocessor.word_pieces(tf.constant(text[:320]))
    batch = preprocessor.pack([pieces], 32)
    batch = {name: batch[name] for name in INPUTS}

    inference = [tf.function(lambda e=e: e(batch, training=False)) for e in (ours, theirs)]
    compare("encoder, 320 x 32 tokens, against Model Garden", *inference)
    steps = [gradient_step(e, batch) for e in (ours, theirs)]
    compare("forward and backward, 320 x 32, against Model Garden", *steps)

    tokenizer = text_layers.BertTokenizer(vocab_file=str(VOCABULARY), lower_case=False)
    packer = text_layers.BertPackInputs(
        128, special_tokens_dict=tokenizer.get_special_tokens_dict()
    )
    strings = tf.constant(text)
    ours_packed = tf.function(lambda: preprocessor(strings))
    theirs_packed = tf.function(lambda: packer([tokenizer(strings)]))
    for name, expected in theirs_packed().items():
        np.testing.assert_array_equal(ours_packed()[name], expected)
    compare(f"preprocessing {len(text):,} sentences, against Model Garden",
            ours_packed, theirs_packed)  # fmt: skip

    model = labse_tf.LaBSE(preprocessor, ours)
    few = text[:512]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def padded(batch):
        return tf.math.l2_normalize(ours(preprocessor(batch))["default"], axis=1)

    def in_order():
        return [padded(tf.constant(few[i : i + 32])) for i in range(0, len(few), 32)]

    compare("encode 512 sentences, against batches of 32 at width 128",
            lambda: model.encode(few, show_progress=False), in_order)  # fmt: skip


if __name__ == "__main__":
    main()
