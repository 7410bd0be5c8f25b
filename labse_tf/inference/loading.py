"""labse_tf.load: a model, whoever wrote it."""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING

from labse_tf.extras import install_hint
from labse_tf.models import NAME, named
from labse_tf.openvino.encoder import PRECISIONS, check_installed
from labse_tf.openvino.fastest import AUTO
from labse_tf.openvino.tokenizer import is_installed
from labse_tf.processes import check_process

if TYPE_CHECKING:
    from labse_tf.inference.embedder import Embedder

_PRECISIONS_OF = {
    "tensorflow": ("float32", "bfloat16", "float16", AUTO),
    "openvino": (*PRECISIONS, AUTO),
}
BACKENDS = tuple(_PRECISIONS_OF)


def load(
    source: str | os.PathLike = NAME,
    *,
    vocab_file: str | os.PathLike | None = None,
    precision: str = "float32",
    backend: str = "tensorflow",
) -> Embedder:
    """Load a model. With `backend="openvino"` the returned model is inference-only.

    The format is recognized by the files:

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
            `floatx` change neither. "float16" is for GPUs without bfloat16. "int8", with OpenVINO
            alone, multiplies in 8 bits; prepare the model with `labse quantize` for it, since
            unprepared int8 is slower than bfloat16 on CPUs with AMX. "auto" chooses the fastest of
            these by the CPU's instructions; `compute_dtype` of the model says which it is.
        backend: "tensorflow"; or "openvino", to embed only: the encoder's weights are compiled
            by OpenVINO, which is faster on most CPUs (extra `openvino`). A release whose vocabulary
            is cased is then read and tokenised without TensorFlow, which is not imported: it starts
            in a second.

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
    _check_choices(precision, backend)
    if backend == "openvino":
        check_installed()
        from labse_tf.inference.light import LightLaBSE, is_light

        if vocab_file is None and is_light(source):
            if is_installed():
                return LightLaBSE(source, precision, _threads())
            warnings.warn(
                "openvino_tokenizers is not installed, so TensorFlow is imported to tokenize "
                f"sentences, which takes seconds. Install it: {install_hint('openvino')}",
                stacklevel=2,
            )
    from labse_tf.inference.reading import read, to_embed

    model = read(source, vocab_file)
    if backend == "tensorflow" and precision == "float32":
        return model
    return to_embed(model, precision, backend, _threads())


def _check_choices(precision: str, backend: str) -> None:
    if backend not in BACKENDS:
        raise ValueError(f"`backend` (={backend!r}) must be one of {BACKENDS}.")
    known = _PRECISIONS_OF[backend]
    if precision in known:
        return
    others = [b for b, values in _PRECISIONS_OF.items() if precision in values]
    hint = "".join(f' Add backend="{b}" (--backend {b}) for {precision}.' for b in others)
    raise ValueError(
        f"`precision` (={precision!r}) must be one of {known} with backend={backend!r}.{hint}"
    )


def _threads() -> int:
    """Most threads of an operation, as TensorFlow has been told; 0: it has not."""
    if tensorflow := sys.modules.get("tensorflow"):
        return tensorflow.config.threading.get_intra_op_parallelism_threads()
    return int(os.environ.get("TF_NUM_INTRAOP_THREADS") or 0)
