"""The dtypes that an encoder is stored in and computes in."""

from __future__ import annotations

import tensorflow as tf

from labse_tf.encoder.encoder import Encoder
from labse_tf.encoder.quantization import copy_words
from labse_tf.encoder.weights import named_weights, unfilled_encoder

# Precisions of the computation, and their Keras policies.
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
# Everywhere; and where GPUs without bfloat16 are thought of. No CPU is faster in float16.
PRECISIONS = ("float32", "bfloat16")
WITH_FLOAT16 = (*PRECISIONS, "float16")


def stored_as(encoder: Encoder, weights_dtype: str) -> Encoder:
    """The encoder with its weights stored in another dtype: itself, if they already are.

    Weights whose dtype stays share memory with the old encoder's until either is trained.
    """
    if weights_dtype_of(encoder) == weights_dtype:
        return encoder
    other = unfilled_encoder(encoder.config, weights_dtype, encoder.dtype_policy.name)
    copy_words(encoder.embeddings, other.embeddings)
    weights = named_weights(encoder)
    tables = {id(other.embeddings.word), id(other.embeddings.word_scale)}
    for name, target in named_weights(other).items():
        if id(target) not in tables:
            target.assign(tf.cast(weights[name].value(), target.dtype))
    return other


def computing_in(encoder: Encoder, precision: str) -> Encoder:
    """An encoder of the same variables that computes in `precision`: itself, if it already does.

    Kernels that are stored in another dtype are cast at each use, some 50 ms a batch for LaBSE's
    size; `stored_as` casts them once.

    Args:
        encoder: any.
        precision: one of `WITH_FLOAT16`.
    """
    if encoder.compute_dtype == precision:
        return encoder
    weights = named_weights(encoder)

    def reuse(next_creator, **options):
        return weights[f"{tf.get_current_name_scope()}/{options['name']}"]

    with tf.variable_creator_scope(reuse):
        return Encoder(encoder.config, weights_dtype_of(encoder), POLICIES[precision])


def weights_dtype_of(encoder: Encoder) -> str:
    """The dtype in which the word embeddings are stored, and but for int8 the kernels as well."""
    return encoder.embeddings.word.dtype.name
