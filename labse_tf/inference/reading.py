"""Models of all formats read by TensorFlow."""

from __future__ import annotations

import http.client
import os
import re
import tempfile

import numpy as np
import tensorflow_hub as hub

from labse_tf.encoder.precision import computing_in, stored_as
from labse_tf.encoder.weights import named_weights
from labse_tf.inference.model import LaBSE, read_model
from labse_tf.openvino.encoder import OpenVINO
from labse_tf.openvino.fastest import choose_precision
from labse_tf.pretrained import archives, hugging_face, kaggle, model_garden, tf_hub
from labse_tf.release.configuration import is_release

_REPOSITORY = re.compile(r"\w[\w.-]*/[\w.-]+")


def to_embed(model: LaBSE, precision: str, backend: str, threads: int) -> LaBSE:
    """The model in another precision or with another backend, see `labse_tf.load`."""
    config, kernels = model.encoder.config, model.int8_kernels
    precision = choose_precision(precision, backend, config.num_layers, kernels is not None)
    if backend == "openvino":
        weights = {
            name: np.from_dlpack(variable.value())  # its own memory
            for name, variable in named_weights(model.encoder).items()
        }
        return model.with_parts(backend=OpenVINO(weights, config, precision, threads, kernels))
    if precision == "float32":
        return model
    return model.with_parts(encoder=stored_as(computing_in(model.encoder, precision), precision))


def read(source: str, vocab_file: str | os.PathLike | None) -> LaBSE:
    """What `labse_tf.load` finds at its source, trainable; see there."""
    if source.startswith(("http://", "https://")) and not kaggle.handle_of(source):
        return _from_directory(_fetched(source), vocab_file)
    if os.path.isfile(source) and archives.is_archive(source):
        return _from_archive(source, vocab_file)
    if not os.path.exists(source) and not os.path.exists(f"{source}.index"):
        if handle := kaggle.handle_of(source):
            source = kaggle.download(handle)
        else:
            source = _downloaded(source)
    return _from_directory(source, vocab_file)


def _downloaded(name: str) -> str:
    """The directory to which a repository of Hugging Face was fetched.

    "release/typo" could be one as well, but for where there is a directory "release".
    """
    looks_like_a_path = os.path.isdir(os.path.dirname(name)) or archives.is_archive(name)
    if looks_like_a_path or not _REPOSITORY.fullmatch(name):
        raise FileNotFoundError(f"There is no file or directory {name!r}.")
    try:
        return hugging_face.download(name)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise OSError(f"There is no directory {name!r} here. {error}") from error


def _from_directory(path: str, vocab_file: str | os.PathLike | None) -> LaBSE:
    if is_release(path):
        if vocab_file is not None:
            raise _brings_vocabulary(path)
        return read_model(path)
    if tf_hub.is_saved_model(path):
        read, brings_vocabulary = tf_hub.read, False
    elif model_garden.is_model_garden(path):
        read, brings_vocabulary = model_garden.read, False
    elif hugging_face.is_hugging_face(path):
        read, brings_vocabulary = hugging_face.read, True
    else:
        raise ValueError(
            f"{path!r} is no model that labse_tf knows: neither a release nor another SavedModel "
            "(saved_model.pb), nor of Hugging Face (config.json or modules.json), nor a checkpoint "
            f"of the Model Garden (*.index and bert_config.json). It holds: {_listing(path)}."
        )
    if vocab_file is None:
        return LaBSE(*read(path))
    if brings_vocabulary:
        raise _brings_vocabulary(path)
    return LaBSE(*read(path, os.fspath(vocab_file)))


def _brings_vocabulary(path: str) -> ValueError:
    return ValueError(f"{path!r} brings its own vocabulary; `vocab_file` is not for it.")


def _listing(path: str) -> list[str]:
    return sorted(os.listdir(path))[:10] if os.path.isdir(path) else [path]


def _from_archive(path: str, vocab_file: str | os.PathLike | None) -> LaBSE:
    with tempfile.TemporaryDirectory(prefix="labse_tf-") as directory:
        return _from_directory(archives.extract(path, directory), vocab_file)


def _fetched(handle: str) -> str:
    """The directory in TF-Hub's cache that a handle is downloaded and unpacked to."""
    try:
        return hub.resolve(handle)
    except (OSError, EOFError, ValueError, http.client.HTTPException) as error:
        raise OSError(
            f"Cannot fetch {handle!r}: {error or type(error).__name__}. Does it exist, is this "
            "machine online, and was the archive whole?"
        ) from error
