"""The release format: one SavedModel directory that Hub, Keras, Serving and labse_tf load.

model = hub.load(DIR)                     # needs `import tensorflow_text`, never labse_tf
model(["Hello"])                          # float32 [1, dim], rows of unit length
model.preprocessor(["Hello"])             # TF-Hub's preprocessor API
model.encoder(model.preprocessor(["Hello"]))["default"]     # TF-Hub's encoder API
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable

import tensorflow as tf

from labse_tf.encoder.encoder import Encoder
from labse_tf.encoder.masked_language_head import MaskedLanguageHead
from labse_tf.encoder.precision import PRECISIONS, computing_in, stored_as
from labse_tf.encoder.weights import unfilled_encoder
from labse_tf.files.atomic import atomic_directory
from labse_tf.release.configuration import (
    CONFIG_FILE,
    FORMAT,
    is_release,
    read_configuration,
)
from labse_tf.release.root import AssetFiles, release_root, split_roots, weights_by_name
from labse_tf.release.warmup import write_warmup
from labse_tf.release.weights_dtypes import WEIGHTS_DTYPES
from labse_tf.tokenization.preprocessing import Preprocessor


def write_release(
    path: str | os.PathLike,
    preprocessor: Preprocessor,
    encoder: Encoder,
    *,
    overwrite: bool = False,
    weights_dtype: str | None = None,
    compute_dtype: str = "float32",
    head: MaskedLanguageHead | None = None,
    add_files: Callable[[str, Encoder], None] | None = None,
) -> None:
    """Writes a release, whole or not at all.

    It is written beside `path` and then renamed, so that neither a full disk nor an interrupt
    leaves half a directory, and a server that watches `path` never sees one.

    Args:
        path: the directory to write.
        preprocessor: makes the token ids.
        encoder: embeds them.
        overwrite: whether a release that is at `path` is replaced.
        weights_dtype: "float16" or "bfloat16" store the word embeddings and the kernels in half
            the space; "int8" the word embeddings in about a quarter, with a scale for every 64
            numbers, and the kernels in float16. `labse_tf.load` makes float32 weights of them,
            while `hub.load` keeps them as they are stored: a row is scaled when it was looked up.
            None: "float32", or `compute_dtype` if that is "bfloat16".
        compute_dtype: what the SavedModel's functions compute in: "float32"; or "bfloat16" for
            matmuls and activations, twice as fast where the CPU has instructions for it. The
            outputs are float32 in both cases.
        head: of pre-training, for a release whose encoder also predicts masked word pieces, by
            `.mlm` (see `labse_tf.release.root`).
        add_files: Called with the unfinished directory and the encoder as it is stored, to write
            more files before the directory is renamed.

    Raises:
        FileExistsError: `path` exists and `overwrite` is False.
        OSError: it could not be written, as on a full disk.
        ValueError: `path` exists, `overwrite` is True, but it is not a release; or a dtype is
            another one.
    """
    path = os.path.abspath(path)
    weights_dtype = _check_dtypes(weights_dtype, compute_dtype)
    if os.path.lexists(path):
        if not overwrite:
            raise FileExistsError(f"{path!r} exists. Choose another path, or overwrite it.")
        if not is_release(path):
            raise ValueError(f"{path!r} is no release of labse_tf, so it is not overwritten.")
    with atomic_directory(path) as unfinished, tempfile.TemporaryDirectory() as assets:
        files = _write_assets(assets, preprocessor, encoder, weights_dtype, compute_dtype)
        encoder = computing_in(stored_as(encoder, weights_dtype), compute_dtype)
        root, signatures = release_root(preprocessor, encoder, files, head)
        _save(root, unfinished, signatures, path)
        write_warmup(unfinished)
        if add_files is not None:
            add_files(unfinished, encoder)


def write_split(
    path: str | os.PathLike,
    preprocessor: Preprocessor,
    encoder: Encoder,
    *,
    weights_dtype: str | None = None,
    compute_dtype: str = "float32",
    head: MaskedLanguageHead | None = None,
) -> None:
    """Writes PATH/encoder and PATH/preprocessor, in place of Google's two modules.

    They are called as google/LaBSE/2 and universal-sentence-encoder-cmlm/multilingual-preprocess/2
    are, `encoder(preprocessor(sentences))["default"]`, and the encoder as google/LaBSE/1 as well:
    with a list of ids, mask and types it returns the pooled and the sequence output.
    `labse_tf.load` reads PATH/encoder.

    Args:
        path: a directory that does not exist; written whole or not at all.
        preprocessor, encoder, weights_dtype, compute_dtype, head: as of `write_release`.

    Raises:
        FileExistsError: `path` exists.
        OSError, ValueError: as of `write_release`.
    """
    weights_dtype = _check_dtypes(weights_dtype, compute_dtype)
    if os.path.lexists(path):
        raise FileExistsError(f"{os.fspath(path)!r} exists. Choose another path.")
    with atomic_directory(path) as unfinished, tempfile.TemporaryDirectory() as assets:
        files = _write_assets(assets, preprocessor, encoder, weights_dtype, compute_dtype)
        encoder = computing_in(stored_as(encoder, weights_dtype), compute_dtype)
        for name, root in split_roots(preprocessor, encoder, files, head).items():
            _save(root, os.path.join(unfinished, name), {}, path)


def _check_dtypes(weights_dtype: str | None, compute_dtype: str) -> str:
    """The dtype that weights are stored in."""
    weights_dtype = weights_dtype or compute_dtype
    for name, value, known in (
        ("compute_dtype", compute_dtype, PRECISIONS),
        ("weights_dtype", weights_dtype, WEIGHTS_DTYPES),
    ):
        if value not in known:
            raise ValueError(f"`{name}` (={value!r}) must be one of {known}.")
    return weights_dtype


def _write_assets(
    folder: str,
    preprocessor: Preprocessor,
    encoder: Encoder,
    weights_dtype: str,
    compute_dtype: str,
) -> AssetFiles:
    """Writes what a reader needs beside weights and functions."""
    names = preprocessor.vocabulary_file_name, CONFIG_FILE
    files = AssetFiles(*(os.path.join(folder, name) for name in names))
    with open(files.vocabulary, "wb") as file:
        file.write(preprocessor.vocabulary)
    with open(files.config, "w", encoding="utf-8") as file:
        json.dump(
            dict(
                format=FORMAT,
                encoder=json.loads(encoder.config.to_json()),
                **preprocessor.options,
                weights_dtype=weights_dtype,
                compute_dtype=compute_dtype,
            ),
            file,
            indent=2,
        )
    return files


def _save(root, unfinished: str, signatures, path: str | os.PathLike) -> None:
    try:
        tf.saved_model.save(root, unfinished, signatures)
    except tf.errors.OpError as error:
        raise OSError(f"{os.fspath(path)!r} could not be written: {error.message}") from error


def read_release(path: str | os.PathLike) -> tuple[Preprocessor, Encoder]:
    """Reads a release back into a preprocessor and a trainable encoder.

    The weights are read from the variables file alone; no graph is loaded.

    Raises:
        FileNotFoundError: there is no such directory.
        ValueError: it is not a release, is of a newer format, or its weights are not those that
            its configuration describes.
    """
    path = os.fspath(path)
    found = read_configuration(path)
    vocabulary = os.path.join(path, "assets", found.vocabulary_file)
    preprocessor = Preprocessor(vocabulary, **found.options)
    encoder = unfilled_encoder(found.encoder, found.weights_dtype)
    read_weights(os.path.join(path, "variables", "variables"), encoder=weights_by_name(encoder))
    return preprocessor, stored_as(encoder, "float32")


def read_weights(checkpoint: str, **trackables) -> None:
    """Restores every variable of the trackables from a checkpoint that may hold more.

    Raises:
        ValueError: the checkpoint cannot be read, lacks a variable, or has one of another shape.
    """
    try:
        status = tf.train.Checkpoint(**trackables).read(checkpoint)
        status.expect_partial().assert_existing_objects_matched()
    except (AssertionError, IndexError, ValueError, tf.errors.OpError) as error:
        raise ValueError(f"Cannot read the weights from {checkpoint!r}: {error}") from error


def size_on_disk(path: str | os.PathLike) -> int:
    """Bytes of a file, or of all files in a directory."""
    if os.path.isfile(path):
        return os.path.getsize(path)
    return sum(
        os.path.getsize(os.path.join(folder, name))
        for folder, _, names in os.walk(path)
        for name in names
    )
