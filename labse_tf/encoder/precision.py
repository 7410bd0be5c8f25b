"""What an encoder is stored as and computes in: the same weights, other dtypes."""

from __future__ import annotations

import tensorflow as tf

from labse_tf.encoder.encoder import Encoder
from labse_tf.encoder.weights import unfilled_encoder

# What is computed in, and the Keras policies for it.
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
PRECISIONS = tuple(POLICIES)


def stored_as(encoder: Encoder, weights_dtype: str) -> Encoder:
    """The encoder with its weights stored in another type: itself, if they already are.

    What does not change its type shares its memory with the old encoder until either is trained.
    """
    if weights_dtype_of(encoder) == weights_dtype:
        return encoder
    other = unfilled_encoder(encoder.config, weights_dtype, encoder.dtype_policy.name)
    for source, target in zip(encoder.weights, other.weights, strict=True):
        target.assign(tf.cast(source.value(), target.dtype))
    return other


def computing_in(encoder: Encoder, precision: str) -> Encoder:
    """The encoder with other arithmetic on the very same variables: itself, if it is its own.

    Kernels that are not stored in `precision` are cast whenever they are used: for LaBSE's size
    some 50 ms a batch. `stored_as` does it once.

    Args:
        encoder: any.
        precision: one of `PRECISIONS`.
    """
    if encoder.compute_dtype == precision:
        return encoder
    weights = iter(encoder.weights)
    with tf.variable_creator_scope(lambda next_creator, **options: next(weights)):
        return Encoder(encoder.config, weights_dtype_of(encoder), POLICIES[precision])


def weights_dtype_of(encoder: Encoder) -> str:
    """What the word embeddings and the kernels are stored as."""
    return encoder.embeddings.word.dtype.name
