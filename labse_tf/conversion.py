"""Converting: any model that `load` reads, in any of the formats that others read."""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf

from labse_tf.encoder import INPUTS
from labse_tf.loading import load
from labse_tf.model import LaBSE
from labse_tf.pretrained import hugging_face, model_garden
from labse_tf.saved_model import write_release
from labse_tf.weights import stored_as

FORMATS = ("saved-model", "hugging-face", "model-garden")


def convert(
    source: str | os.PathLike,
    destination: str | os.PathLike,
    to: str = "saved-model",
    *,
    vocab_file: str | os.PathLike | None = None,
    weights_dtype: str = "float32",
) -> LaBSE:
    """Reads a model and writes it in another format.

    Args:
        source: whatever `labse_tf.load` reads.
        destination: the directory to write; it must not exist.
        to: `"saved-model"`, a release; `"hugging-face"`, which sentence-transformers and
            transformers read; or `"model-garden"`, a checkpoint of the Model Garden's BertEncoder.
        vocab_file: see `labse_tf.load`.
        weights_dtype: of a release: see `labse_tf.saved_model.write_release`.

    Returns:
        The model that was read.

    Raises:
        FileExistsError: `destination` exists.
        ValueError: an argument is none of the above, or the model has no form in that format.
        OSError, FileNotFoundError: see `labse_tf.load`.
    """
    if to not in FORMATS:
        raise ValueError(f"`to` (={to!r}) must be one of {FORMATS}.")
    if weights_dtype != "float32" and to != "saved-model":
        raise ValueError(f"`weights_dtype` is for a saved-model, not for {to}.")
    if os.path.lexists(destination):  # said before minutes are spent on reading
        raise FileExistsError(f"{os.fspath(destination)!r} exists. Choose another path.")
    model = load(source, vocab_file=vocab_file)
    if to == "saved-model":
        write_release(destination, model.preprocessor, model.encoder, weights_dtype=weights_dtype)
    else:
        write = {"hugging-face": hugging_face.write, "model-garden": model_garden.write}[to]
        write(destination, model.preprocessor, model.encoder)
    return model


def cosines_with(model: LaBSE, weights_dtype: str) -> np.ndarray:
    """What storing the weights in another type does: the cosines of embeddings with themselves.

    Returns:
        float32 [64]: of 64 random sequences of 16 tokens of the whole vocabulary, each embedded
        with the weights as they are and as they would be stored.
    """
    config = model.encoder.config
    ids = np.random.default_rng(0).integers(config.vocab_size, size=[64, 16])
    ids[:, 0], ids[:, -1] = model.preprocessor.start_id, model.preprocessor.end_id
    ones = np.ones_like(ids)
    inputs = dict(zip(INPUTS, (tf.constant(x, tf.int32) for x in (ids, ones, 0 * ones))))
    inputs = {name: ids[:, : config.max_positions] for name, ids in inputs.items()}
    embeddings = [
        tf.math.l2_normalize(encoder(inputs)["default"], axis=1)
        for encoder in (model.encoder, stored_as(model.encoder, weights_dtype))
    ]
    return tf.reduce_sum(embeddings[0] * embeddings[1], axis=1).numpy()
