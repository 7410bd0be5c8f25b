"""From a model to a release whose kernels are in 8 bits as well: labse quantize."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Sequence

import numpy as np

from labse_tf.conversion.corpora import check_corpus
from labse_tf.data.texts import read_sentences
from labse_tf.files.atomic import atomic_directory
from labse_tf.files.reservoir import DistinctReservoir
from labse_tf.inference.embedder import Embedder
from labse_tf.inference.loading import load
from labse_tf.inference.tokens import Tokens
from labse_tf.models import named
from labse_tf.openvino.calibration import DEFAULT_SENTENCES, calibrate
from labse_tf.openvino.kernel_file import KERNEL_FILE, write_kernels
from labse_tf.release.configuration import is_release

LEAST_COSINE = 0.98  # below, something is wrong with the model or the text, and nothing is written
_HELD_OUT = 0.25  # of the sentences, what is measured on
_FEWEST = 20
_BATCH_TOKENS = 1024  # the inputs of all layers of a batch are in memory: 0.3 GB at LaBSE's size


def quantize(
    source: str | os.PathLike,
    destination: str | os.PathLike,
    corpus: Sequence[str | os.PathLike],
    *,
    sentences: int = DEFAULT_SENTENCES,
) -> np.ndarray:
    """Writes a release of a model with kernels in 8 bits beside, for `precision="int8"`.

    The release itself is as it was; OpenVINO multiplies by the kernels in 8 bits, and rounds what
    is multiplied by them to 8 bits, in steps that were found on the corpus.

    Args:
        source: whatever `labse_tf.load` reads.
        destination: the directory to write; it must not exist.
        corpus: files of sentences or of translation pairs, or pipes, or "-" for standard input:
            text like what will be embedded.
        sentences: how many different ones are drawn from it. On three of four the ranges are found.

    Returns:
        The cosines of embeddings in int8 with those in float32, of the sentences that were drawn
        but not used, float32.

    Raises:
        FileExistsError: `destination` exists.
        ImportError: OpenVINO is not installed.
        OSError, FileNotFoundError: a file cannot be read or written.
        ValueError: the model has no layers, the corpus too few sentences, or int8 does not embed
            as it should; or see `labse_tf.load`.
    """
    if sentences < _FEWEST:
        raise ValueError(f"`sentences` (={sentences}) must be at least {_FEWEST}.")
    if os.path.lexists(destination):
        raise FileExistsError(f"{os.fspath(destination)!r} exists. Choose another path.")
    corpus = check_corpus(corpus)
    source = named(source)
    model = load(source, backend="openvino")
    if not model.backend.config.num_layers:
        raise ValueError(
            f"{source!r} has no transformer layers, so there are no kernels to round: it is as "
            "fast in any precision."
        )
    drawn = _sample_sentences(corpus, sentences)
    held_out = drawn[: max(1, int(_HELD_OUT * len(drawn)))]
    tokens = Tokens(model.word_pieces, [s.encode() for s in drawn[len(held_out) :]], "cut")
    batches = ((ids, mask) for _, ids, mask in tokens.batches(_BATCH_TOKENS))
    backend = model.backend
    calibrated = calibrate(backend.weights, backend.config, batches, backend.threads)
    with atomic_directory(destination) as unfinished:
        _write_release(source, model, unfinished)
        write_kernels(unfinished, calibrated, backend.weights)
        rounded = load(unfinished, backend="openvino", precision="int8")
        cosines = np.sum(_embedded(rounded, held_out) * _embedded(model, held_out), axis=1)
        if not cosines.min() >= LEAST_COSINE:
            raise ValueError(
                f"In int8 the lowest cosine with the model itself is {cosines.min():.5f}, below "
                f"{LEAST_COSINE}: nothing is written. Is the corpus text of the model's languages? "
                "Without `labse quantize`, int8 rounds what is multiplied as it comes."
            )
    return cosines


def _sample_sentences(corpus: Sequence[str | os.PathLike], size: int) -> list[str]:
    """Return distinct sentences of a corpus, in random order, the same in every run."""
    reservoir = DistinctReservoir(size)
    sentences = itertools.chain.from_iterable(map(read_sentences, corpus))
    reservoir.extend(sentence for sentence in sentences if sentence.strip())
    if (count := len(reservoir.items)) < _FEWEST:
        raise ValueError(
            f"The corpus has {count} different sentences; at least {_FEWEST} are needed, and "
            f"{DEFAULT_SENTENCES:,} are better."
        )
    return reservoir.items


def _write_release(source: str, model: Embedder, directory: str) -> None:
    if is_release(source):
        ignored = shutil.ignore_patterns(KERNEL_FILE)
        shutil.copytree(source, directory, dirs_exist_ok=True, ignore=ignored)
        return
    inner = os.path.join(directory, "release")
    model.save(inner)
    for name in os.listdir(inner):
        os.rename(os.path.join(inner, name), os.path.join(directory, name))
    os.rmdir(inner)


def _embedded(model: Embedder, sentences: list[str]) -> np.ndarray:
    return model.encode(sentences, show_progress=False)
