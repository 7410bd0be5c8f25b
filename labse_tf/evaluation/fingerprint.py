"""Which model it was that was evaluated."""

from __future__ import annotations

import hashlib
import os

from labse_tf.model import LaBSE
from labse_tf.weights import rows_of


def fingerprint(model: LaBSE) -> str:
    """SHA-256 of a model: its configuration, its vocabulary, its weights as they are held."""
    digest = hashlib.sha256(model.encoder.config.to_json().encode())
    with open(model.preprocessor.vocab_file, "rb") as file:
        digest.update(file.read())
    for variable in model.encoder.variables:
        digest.update(f"{variable.dtype.name} {variable.shape}".encode())
        for rows in rows_of(variable):
            digest.update(rows.tobytes())
    return f"sha256:{digest.hexdigest()}"


def checksum(path: str | os.PathLike) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return f"sha256:{digest.hexdigest()}"
