"""Stacking: a deeper encoder that starts from copies of a trained one's layers."""

from __future__ import annotations

import dataclasses

from labse_tf.encoder.encoder import Encoder
from labse_tf.encoder.weights import unfilled_encoder


def stack(encoder: Encoder, num_layers: int) -> Encoder:
    """A new encoder whose layers are the old one's, repeated: layer i is a copy of i mod n.

    This is progressive stacking (Gong et al., 2019, "Efficient training of BERT by progressively
    stacking") as the paper pre-trains with it (arXiv 2007.01852, section 2.3): L/4 layers, L/2, L.
    Embeddings and pooler are copied as well.

    Args:
        encoder: has n layers.
        num_layers: a multiple of n.

    Raises:
        ValueError: `num_layers` is no multiple of n, or n is 0.

    Example:
        >>> stack(encoder_of_3_layers, 6).config.num_layers
        6
    """
    old = encoder.config.num_layers
    if not old or num_layers < old or num_layers % old:
        raise ValueError(
            f"`num_layers` (={num_layers}) must be a multiple of the {old} layers that the encoder "
            "has" + ("." if old else ": there are none to copy; `labse_tf.grow` adds new ones.")
        )
    config = dataclasses.replace(encoder.config, num_layers=num_layers)
    stacked = unfilled_encoder(
        config, encoder.embeddings.word.dtype.name, encoder.dtype_policy.name
    )
    copies = [(stacked.embeddings, encoder.embeddings)]
    copies += [(layer, encoder.transformer[i % old]) for i, layer in enumerate(stacked.transformer)]
    if encoder.pooler is not None:
        copies.append((stacked.pooler, encoder.pooler))
    for new, source in copies:
        for target, weight in zip(new.weights, source.weights, strict=True):
            target.assign(weight)
    return stacked
