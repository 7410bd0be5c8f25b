"""The model of a process: loaded once, kept for its life."""

from __future__ import annotations

import functools

import numpy as np


@functools.lru_cache(maxsize=1)
def model_of_process(path: str, precision: str):
    """The model, and its fingerprint.

    Args:
        path: as of `labse_tf.load`.
        precision: to embed in.
    """
    import labse_tf

    # The weights as they are stored, whose fingerprint does not depend on the precision.
    model = labse_tf.load(path)
    digest = model.fingerprint()
    if precision != "float32":
        model = labse_tf.load(path, precision=precision)
    return model, digest


def describe(path: str, precision: str) -> dict:
    """The fingerprint and the dim of the model."""
    model, digest = model_of_process(path, precision)
    return {"fingerprint": digest, "dim": model.dim}


def embed_texts(
    texts: list[str], path: str, precision: str, batch_tokens: int, expected: str
) -> np.ndarray:
    """Unit rows, float32 [texts, dim].

    Raises:
        ValueError: the model here is not that of the fingerprint `expected`, or its rows are not
            finite.
    """
    model, digest = model_of_process(path, precision)
    if digest != expected:
        raise ValueError(
            f"The model {path!r} is another one in this process ({digest}) than at the start "
            f"({expected}): give every machine the same."
        )
    tokens = {"batch_tokens": batch_tokens} if batch_tokens else {}
    rows = model.encode(texts, precision=precision, show_progress=False, **tokens)
    if not np.isfinite(rows).all():
        bad = int(np.argmin(np.isfinite(rows).all(axis=1)))
        raise ValueError(
            f"The model {path!r} gives NaN or infinity for {texts[bad]!r:.100}: it is no model to "
            "mine with."
        )
    return rows
