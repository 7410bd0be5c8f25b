"""Freezing: the weights of an encoder that are trained."""

from __future__ import annotations

import tensorflow as tf

from labse_tf.encoder.encoder import Encoder


def weights_to_train(
    encoder: Encoder, freeze_embeddings: bool = False, freeze_layers: int = 0
) -> list[tf.Variable]:
    """The encoder's trainable weights without the frozen ones.

    Args:
        encoder: any.
        freeze_embeddings: whether to freeze the word, position and type embeddings and their
            normalisation.
        freeze_layers: how many of the lowest transformer layers to freeze.

    Raises:
        ValueError: the encoder has fewer layers, or nothing is left to train.
    """
    if freeze_layers > encoder.config.num_layers:
        raise ValueError(
            f"`freeze_layers` (={freeze_layers}) is above the encoder's "
            f"{encoder.config.num_layers} layers."
        )
    frozen = encoder.transformer[:freeze_layers]
    if freeze_embeddings:
        frozen = [encoder.embeddings, *frozen]
    names = {weight.name for layer in frozen for weight in layer.weights}
    weights = [weight for weight in encoder.trainable_weights if weight.name not in names]
    if not weights:
        raise ValueError(
            "Nothing is left to train: the encoder has no weights beside those that "
            "`freeze_embeddings` and `freeze_layers` keep."
        )
    return weights
