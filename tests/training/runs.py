"""Small runs of translation ranking, and what is looked at of them."""

from pathlib import Path

import numpy as np
import tensorflow as tf

import labse_tf
from labse_tf.training.config import FineTuningConfig

ENGLISH = "the cat sat on mat and saw a green apple with Tom".split()
CONFIG = FineTuningConfig(
    steps=12,
    batch_size=8,
    learning_rate=0.01,
    warmup_steps=2,
    scale=10.0,
    checkpoint_every=4,
    report_every=2,
    seed=3,
)


def write_pairs(path, count=100, seed=0):
    rng = np.random.default_rng(seed)
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(count):
            words = rng.choice(ENGLISH, rng.integers(1, 9))
            file.write(f"{' '.join(word[::-1] for word in words)} ?\t{' '.join(words)}\n")
    return str(path)


def make_model(vocab_file, vocab_size, num_layers=1):
    """The same weights at every call."""
    tf.random.set_seed(0)
    config = labse_tf.EncoderConfig(
        vocab_size=vocab_size,
        hidden_size=8,
        num_layers=num_layers,
        num_heads=2,
        intermediate_size=12,
        max_positions=32,
        initializer_range=0.3,
    )
    encoder = labse_tf.Encoder(config)
    rng = np.random.default_rng(1)
    for weight in encoder.weights:
        weight.assign(rng.normal(scale=0.3, size=weight.shape) + ("scale" in weight.name))
    return labse_tf.LaBSE(labse_tf.Preprocessor(vocab_file, 32), encoder)


def weights(model):
    return [w.numpy() for w in model.encoder.weights]


def assert_same(a, b, atol=0.0):
    for x, y in zip(weights(a), weights(b), strict=True):
        np.testing.assert_allclose(x, y, atol=atol, rtol=0)


def embed(model, sentences):
    """Eagerly, which traces nothing."""
    return model.encoder(model.preprocessor(tf.constant(sentences)))["default"].numpy()


def checkpoints(workdir):
    return sorted(
        int(path.stem.rsplit("-", 1)[1]) for path in Path(workdir, "checkpoints").glob("*.index")
    )
