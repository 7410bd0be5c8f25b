"""What embeds: a model, the path of one, or a function; and which one it was."""

from __future__ import annotations

import functools
import os
from typing import Any

from labse_tf.inference.embedder import Embedder
from labse_tf.inference.loading import load
from labse_tf.mining.embedding import Encode
from labse_tf.models import NAME

Model = Embedder | str | os.PathLike | Encode | None


def encoder_of(model: Model, load_options: dict[str, Any] | None = None, **encode_options: Any):
    """The function that embeds a list of strings, and the model's fingerprint.

    Args:
        model: A model that `labse_tf.load` returned; the path of one; None for the model that comes
            with labse_tf; or a function, which has no fingerprint: "" is returned.
        load_options: of `labse_tf.load`.
        **encode_options: of `Embedder.encode`.
    """
    if model is None or isinstance(model, (str, os.PathLike)):
        model = load(NAME if model is None else model, **(load_options or {}))
    if isinstance(model, Embedder):
        encode = functools.partial(model.encode, show_progress=False, **encode_options)
        return encode, model.fingerprint()
    return model, ""
