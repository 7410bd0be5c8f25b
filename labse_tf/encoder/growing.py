"""Growing: a deeper encoder that computes the same as a shallower, trained one."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from labse_tf.encoder.encoder import Encoder
from labse_tf.encoder.layers import LayerNorm


def grow(encoder: Encoder, num_layers: int, seed: int = 0) -> Encoder:
    """A new encoder of `num_layers` layers that computes the same as `encoder`, in its dtypes.

    Embeddings, layers and pooler are copied. The new layers on top start as the identity: their
    output projections are zero, so that each sub-layer only normalises its input, which does not
    change what is normalised already. So the scale and offset of the last trained normalisation
    move up to the last new layer.

    This extends the paper's progressive stacking (arXiv 2007.01852, section 2.3) to a start with
    no layer at all, whose embeddings learn ten times faster.

    Args:
        encoder: any.
        num_layers: of the new one.
        seed: of the new layers' random weights.

    Raises:
        ValueError: `num_layers` is below the encoder's.
    """
    config = encoder.config
    if num_layers < config.num_layers:
        raise ValueError(
            f"`num_layers` (={num_layers}) is below the {config.num_layers} that the encoder has; "
            "an encoder can be grown, not cut."
        )
    grown = Encoder(
        dataclasses.replace(config, num_layers=num_layers),
        encoder.embeddings.word.dtype.name,
        dtype=encoder.dtype_policy.name,
        name=encoder.name,
        trainable=encoder.trainable,
    )
    old = {w.name: w for w in encoder.weights}
    for weight in grown.weights:
        if weight.name in old:
            weight.assign(old[weight.name])
    for i, layer in enumerate(grown.transformer[config.num_layers :]):
        for j, projection in enumerate((layer.qkv, layer.intermediate)):
            # Seeded, not Keras' initial values: a resumed run of stages must grow the same.
            kernel = tf.random.stateless_truncated_normal(
                projection.kernel.shape, [seed, 2 * i + j]
            )
            kernel = tf.cast(config.initializer_range * kernel, projection.kernel.dtype)
            projection.kernel.assign(kernel)
        for projection in (layer.attention_output, layer.feed_forward_output):
            projection.kernel.assign(tf.zeros_like(projection.kernel))
    if num_layers > config.num_layers:
        _move(_last_norm(grown, config.num_layers), _last_norm(grown, num_layers))
    return grown


def _last_norm(encoder: Encoder, num_layers: int) -> LayerNorm:
    """The normalisation that the first `num_layers` layers end with."""
    if not num_layers:
        return encoder.embeddings.layer_norm
    return encoder.transformer[num_layers - 1].output_norm


def _move(source: LayerNorm, target: LayerNorm) -> None:
    target.scale.assign(source.scale)
    target.offset.assign(source.offset)
    source.scale.assign(tf.ones_like(source.scale))
    source.offset.assign(tf.zeros_like(source.offset))
