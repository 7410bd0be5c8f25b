"""What embeds: a model, the path of one, or a function; and which one it was."""

from __future__ import annotations

import functools
import os
from typing import Any

from labse_tf.evaluation.fingerprint import fingerprint
from labse_tf.inference.loading import load
from labse_tf.inference.model import LaBSE
from labse_tf.mining.embedding import Encode

Model = LaBSE | str | os.PathLike | Encode | None


def encoder_of(model: Model, load_options: dict[str, Any] | None = None, **encode_options: Any):
    """The function that embeds a list of strings, and the model's fingerprint.

    Args:
        model: a LaBSE; the path of one; None for the one that comes with labse_tf; or a function,
            whose fingerprint is not known, "".
        load_options: of `labse_tf.load`.
        **encode_options: of `LaBSE.encode`.
    """
    if model is None or isinstance(model, (str, os.PathLike)):
        model = load(*([] if model is None else [model]), **(load_options or {}))
    if isinstance(model, LaBSE):
        encode = functools.partial(model.encode, show_progress=False, **encode_options)
        return encode, fingerprint(model)
    return model, ""
