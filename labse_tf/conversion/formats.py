"""Converting: any model that `load` reads, in any of the formats that others read."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from labse_tf.encoder.encoder import INPUTS
from labse_tf.encoder.precision import computing_in, stored_as
from labse_tf.inference.loading import load
from labse_tf.inference.model import LaBSE
from labse_tf.pretrained import hugging_face, model_garden

FORMATS = ("saved-model", "hugging-face", "model-garden")


def convert(
    source: str | os.PathLike,
    destination: str | os.PathLike,
    to: str = "saved-model",
    *,
    vocab_file: str | os.PathLike | None = None,
    **options: str,
) -> LaBSE:
    """Reads a model and writes it in another format.

    Args:
        source: whatever `labse_tf.load` reads.
        destination: the directory to write; it must not exist.
        to: `"saved-model"`, a release; `"hugging-face"`, which sentence-transformers and
            transformers read; or `"model-garden"`, a checkpoint of the Model Garden's BertEncoder.
        vocab_file: see `labse_tf.load`.
        options: Of a release, `weights_dtype`, by default that of the source, and
            `compute_dtype`: see `labse_tf.release.saved_model.write_release`.

    Returns:
        The model that was read.

    Raises:
        FileExistsError: `destination` exists.
        ValueError: an argument is none of the above, or the model has no form in that format.
        OSError, FileNotFoundError: see `labse_tf.load`.
    """
    if to not in FORMATS:
        raise ValueError(f"`to` (={to!r}) must be one of {FORMATS}.")
    if options and to != "saved-model":
        raise ValueError(f"`{'`, `'.join(options)}` is for a saved-model, not for {to}.")
    if os.path.lexists(destination):  # said before minutes are spent on reading
        raise FileExistsError(f"{os.fspath(destination)!r} exists. Choose another path.")
    model = load(source, vocab_file=vocab_file)
    if to == "saved-model":
        model.save(destination, **options)
    else:
        if model.int8_kernels is not None:
            warnings.warn(
                f"The kernels that `labse quantize` prepared are left out: {to} has no form for "
                "them.",
                stacklevel=2,
            )
        write = {"hugging-face": hugging_face.write, "model-garden": model_garden.write}[to]
        write(destination, model.preprocessor, model.encoder)
    return model


def cosines_with(
    model: LaBSE,
    weights_dtype: str | None = None,
    compute_dtype: str = "float32",
    sentences: Sequence[str] = (),
) -> np.ndarray:
    """What a release in other dtypes costs: the cosines of embeddings with themselves.

    Args:
        model: is left as it is.
        weights_dtype, compute_dtype: see `labse_tf.release.saved_model.write_release`.
        sentences: what to embed; without any, 64 random sequences of 16 word pieces of the whole
            vocabulary.

    Returns:
        float32 [number of sentences]
    """
    weights_dtype = weights_dtype or model.default_weights_dtype(compute_dtype)
    stored = stored_as(model.encoder, weights_dtype)
    other = LaBSE(model.preprocessor, computing_in(stored, compute_dtype))
    if sentences:
        embeddings = [model.encode(sentences, precision="float32"), other.encode(sentences)]
    else:
        inputs = _random_inputs(model)
        embeddings = [
            tf.math.l2_normalize(m.encoder(inputs, pooled_only=True)["default"], axis=1)
            for m in (model, other)
        ]
    return np.sum(np.asarray(embeddings[0]) * np.asarray(embeddings[1]), axis=1)


def describe_cosines(model: LaBSE, sentences: Sequence[str] = (), **dtypes: str) -> str:
    """A line that says what a release in other dtypes costs; see `cosines_with`."""
    cosines = cosines_with(model, sentences=sentences, **dtypes)
    names = ", ".join(f"{name.removesuffix('_dtype')} in {dtype}" for name, dtype in dtypes.items())
    what = "sentences" if sentences else "random sequences of word pieces"
    return (
        f"{names}: cosine with float32: mean {cosines.mean():.7f}, lowest {cosines.min():.7f} "
        f"({len(cosines):,} {what})"
    )


def _random_inputs(model: LaBSE) -> dict[str, tf.Tensor]:
    config = model.encoder.config
    ids = np.random.default_rng(0).integers(config.vocab_size, size=[64, 16])
    ids[:, 0], ids[:, -1] = model.preprocessor.start_id, model.preprocessor.end_id
    ones = np.ones_like(ids)
    inputs = dict(zip(INPUTS, (tf.constant(x, tf.int32) for x in (ids, ones, 0 * ones))))
    return {name: ids[:, : config.max_positions] for name, ids in inputs.items()}
