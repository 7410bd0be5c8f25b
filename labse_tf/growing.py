"""Growing: a deeper encoder that starts as a shallower, trained one."""

from __future__ import annotations

import dataclasses

from labse_tf.encoder import Encoder


def grow(encoder: Encoder, num_layers: int) -> Encoder:
    """A new encoder of `num_layers` layers that computes nearly what `encoder` computes.

    Embeddings, layers and pooler are copied; the layers on top are new and start near the
    identity. This is the paper's progressive stacking (arXiv 2007.01852, section 2.3) carried to
    its beginning: from no layer at all, whose embeddings learn ten times faster.

    Raises:
        ValueError: `num_layers` is below the encoder's.
    """
    config = encoder.config
    new_layers = num_layers - config.num_layers
    if new_layers < 0:
        raise ValueError(
            f"`num_layers` (={num_layers}) is below the {config.num_layers} that the encoder has; "
            "an encoder can be grown, not cut."
        )
    grown = Encoder(dataclasses.replace(config, num_layers=num_layers), new_layers=new_layers)
    old = {w.name: w for w in encoder.weights}
    for weight in grown.weights:
        if weight.name in old:
            weight.assign(old[weight.name])
    return grown
