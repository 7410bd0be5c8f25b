"""labse_tf.load: a model, whoever wrote it."""

from __future__ import annotations

import http.client
import os
import re
import tempfile

import tensorflow_hub as hub

from labse_tf.encoder.precision import PRECISIONS, WITH_FLOAT16, computing_in, stored_as
from labse_tf.inference.model import LaBSE
from labse_tf.inference.openvino import OpenVINO, check_installed
from labse_tf.models import NAME, named
from labse_tf.pretrained import archives, hugging_face, kaggle, model_garden, tf_hub
from labse_tf.processes import check_process
from labse_tf.release.saved_model import is_release, read_release

BACKENDS = ("tensorflow", "openvino")
_REPOSITORY = re.compile(r"\w[\w.-]*/[\w.-]+")


def load(
    source: str | os.PathLike = NAME,
    *,
    vocab_file: str | os.PathLike | None = None,
    precision: str = "float32",
    backend: str = "tensorflow",
) -> LaBSE:
    """Reads a model into a trainable LaBSE.

    What it is is recognised by its files:

    - a release of labse_tf; "labse-mini", if there is no such file here, is the one that comes
      with the package;
    - a SavedModel for TF-Hub (google/LaBSE/2, LaBSE/1, or what the Model Garden's export_tfhub.py
      wrote): a directory, an archive of one (.tar.gz, .tar.xz, .zip...), or an http(s) handle that
      `hub.resolve` takes, such as https://tfhub.dev/google/LaBSE/2 or the address of a .tar.gz;
      or one of Kaggle, as google/labse/tensorFlow2/labse/2, if kagglehub is installed;
    - a Hugging Face directory (sentence-transformers/LaBSE, setu4993/LaBSE), or such a name of a
      repository, if huggingface_hub is installed;
    - a TensorFlow Model Garden checkpoint with its configuration and vocabulary: the directory,
      or the checkpoint's prefix in it.

    Args:
        source: the directory, file, handle or name; labse-mini if none is given.
        vocab_file: the vocabulary of a SavedModel or a checkpoint that does not have one.
        precision: "float32"; or "bfloat16", to embed only: the weights are held and used in half
            the space, and `encode` does not cast them for each batch. Keras' global policy and
            `floatx` change neither.
        backend: "tensorflow"; or "openvino", to embed only: the encoder's weights are compiled
            by OpenVINO, which is faster on some CPUs (extra `openvino`).

    Raises:
        FileNotFoundError: there is no such file or directory, or a part of the model is missing.
        ImportError: the backend is not installed, or what reads this format.
        OSError: it could not be fetched.
        RuntimeError: the process was forked from one that had a model.
        ValueError: it is none of these, or not a whole one; the message says what it lacks. Or
            there is no such precision or backend.
    """
    check_process()
    source = named(source)
    for name, value, known in (
        ("precision", precision, WITH_FLOAT16),
        ("backend", backend, BACKENDS),
    ):
        if value not in known:
            raise ValueError(f"`{name}` (={value!r}) must be one of {known}.")
    if backend == "openvino":
        if precision not in PRECISIONS:
            raise ValueError(
                f"`precision` (={precision!r}) must be one of {PRECISIONS} with OpenVINO."
            )
        check_installed()
    model = _load(source, vocab_file)
    if backend == "openvino":
        return LaBSE(model.preprocessor, model.encoder, OpenVINO(model.encoder, precision))
    if precision == "float32":
        return model
    return LaBSE(model.preprocessor, stored_as(computing_in(model.encoder, precision), precision))


def _load(source: str, vocab_file: str | os.PathLike | None) -> LaBSE:
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
        read, brings_vocabulary = read_release, True
    elif tf_hub.is_saved_model(path):
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
        raise ValueError(f"{path!r} brings its own vocabulary; `vocab_file` is not for it.")
    return LaBSE(*read(path, os.fspath(vocab_file)))


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
