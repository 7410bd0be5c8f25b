"""The fingerprint of a model: equal for equal weights, whatever runs them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from labse_tf.encoder.config import EncoderConfig

_CHUNK = 2**22  # values that are converted to float32 at a time
_OF_NORM = ("scale", "offset")
_OF_DENSE = ("kernel", "bias")
_OF_A_LAYER = {
    "attention_qkv": _OF_DENSE,
    "attention_output": _OF_DENSE,
    "attention_layer_norm": _OF_NORM,
    "intermediate": _OF_DENSE,
    "output": _OF_DENSE,
    "output_layer_norm": _OF_NORM,
}


class Weight(NamedTuple):
    """A weight's dtype, its shape, and its values in chunks of rows."""

    dtype: str
    shape: tuple[int, ...]
    chunks: Iterable[np.ndarray]


def compute_fingerprint(
    config: EncoderConfig,
    vocabulary: bytes,
    options: Mapping[str, Any],
    weights: Mapping[str, Weight],
    int8_kernels: Mapping[str, np.ndarray] | None = None,
) -> str:
    """Return the SHA-256 of a model's configuration, vocabulary, tokenization and weights.

    Args:
        config: Configuration of the encoder.
        vocabulary: Vocabulary, one token per line.
        options: `Preprocessor.options`.
        weights: Weights by the names of an `Encoder`'s, in any order.
        int8_kernels: Kernels that `labse quantize` prepared.
    """
    digest = hashlib.sha256(config.to_json().encode())
    digest.update(vocabulary)
    digest.update(json.dumps(options, sort_keys=True).encode())
    # Keras lists frozen layers last, and the fingerprint must not depend on what is frozen.
    order = {name: position for position, name in enumerate(weight_names(config))}
    for name in sorted(weights, key=lambda name: (order.get(name, len(order)), name)):
        dtype, shape, chunks = weights[name]
        digest.update(f"{dtype} {shape}".encode())
        for chunk in chunks:
            digest.update(np.ascontiguousarray(chunk))
    for name in sorted(int8_kernels or ()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(int8_kernels[name]))
    return f"sha256:{digest.hexdigest()}"


def weight_names(config: EncoderConfig) -> list[str]:
    """Return the names of an encoder's float weights, from the first layer to the last."""
    names = ["embeddings/word", "embeddings/position", "embeddings/type"]
    names += [f"embeddings/layer_norm/{part}" for part in _OF_NORM]
    for i in range(config.num_layers):
        names += [f"layer_{i}/{name}/{p}" for name, parts in _OF_A_LAYER.items() for p in parts]
    return names + [f"pooler/{part}" for part in _OF_DENSE if config.pooling == "cls"]


def float32_chunks(values: np.ndarray, scales: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Yield the rows of a weight in float32, in chunks.

    Args:
        values: Weight of any shape and dtype.
        scales: Scales of int8 rows, float32 [rows, parts].
    """
    step = max(1, _CHUNK // max(1, int(np.prod(values.shape[1:], dtype=np.int64))))
    for start in range(0, len(values), step):
        rows = np.asarray(values[start : start + step], np.float32)
        if scales is not None:
            parts = scales[start : start + step, :, np.newaxis]
            rows = (rows.reshape(len(rows), parts.shape[1], -1) * parts).reshape(rows.shape)
        yield rows
