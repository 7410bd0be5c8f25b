"""Which model it was that was evaluated."""

from __future__ import annotations

import hashlib
import json

from labse_tf.encoder.weights import rows_of
from labse_tf.inference.model import LaBSE


def fingerprint(model: LaBSE) -> str:
    """SHA-256 of a model: its configuration, vocabulary, tokenization, weights as they are held."""
    digest = hashlib.sha256(model.encoder.config.to_json().encode())
    digest.update(model.preprocessor.vocabulary)
    digest.update(json.dumps(model.preprocessor.options, sort_keys=True).encode())
    for variable in model.encoder.variables:
        digest.update(f"{variable.dtype.name} {variable.shape}".encode())
        for rows in rows_of(variable):
            digest.update(rows.tobytes())
    return f"sha256:{digest.hexdigest()}"
