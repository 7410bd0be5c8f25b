"""Small models with random weights."""

import numpy as np

import labse_tf

SEQ_LENGTH = 24  # some of conftest.SENTENCES are cut


def make_model(vocab_file, vocab_size, seed=1, num_layers=2):
    config = labse_tf.EncoderConfig(
        vocab_size=vocab_size,
        hidden_size=16,
        num_layers=num_layers,
        num_heads=4,
        intermediate_size=24,
        max_positions=32,
    )
    encoder = labse_tf.Encoder(config)
    rng = np.random.default_rng(seed)
    for weight in encoder.weights:
        weight.assign(rng.normal(scale=0.3, size=weight.shape) + ("scale" in weight.name))
    return labse_tf.LaBSE(labse_tf.Preprocessor(vocab_file, SEQ_LENGTH), encoder)
