"""LightLaBSE: a release that is embedded without TensorFlow."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from labse_tf.files.tensor_bundle import read_variables
from labse_tf.inference.embedder import Embedder
from labse_tf.inference.fingerprint import Weight, compute_fingerprint, float32_chunks, weight_names
from labse_tf.inference.tokens import WordPieces
from labse_tf.inference.windows import Windows
from labse_tf.openvino.encoder import PRECISIONS, OpenVINO
from labse_tf.openvino.fastest import choose_precision
from labse_tf.openvino.kernel_file import read_kernels
from labse_tf.openvino.tokenizer import OpenVINOWordPieces, can_tokenize
from labse_tf.release.configuration import is_release, read_configuration
from labse_tf.tokenization.choices import SENTENCEPIECE
from labse_tf.tokenization.vocabulary_files import read_vocabulary

if TYPE_CHECKING:
    from labse_tf.encoder.encoder import Encoder
    from labse_tf.inference.model import LaBSE
    from labse_tf.tokenization.preprocessing import Preprocessor


def is_light(path: str) -> bool:
    """Whether it is a release that a LightLaBSE can embed with.

    Raises:
        ValueError: it is a release, but of a newer format.
    """
    return is_release(path) and can_tokenize(read_configuration(path).options)


class LightLaBSE(Embedder):
    """A release on OpenVINO, of which TensorFlow is not even imported: it starts in a second.

    The variables file is mapped into memory, so that of a table of 1.5 GB the rows are read that
    are looked up.

    Args:
        path: of the release, see `is_light`.
        compute_dtype: one of `labse_tf.openvino.encoder.PRECISIONS`, or "auto".
        threads: most threads of an inference; 0: as many as there are cores.

    Raises:
        FileNotFoundError: there is no such release, or a file of it is missing.
        ValueError: it is not a release, or not a whole one.
    """

    precisions = tuple(PRECISIONS)

    def __init__(self, path: str | os.PathLike, compute_dtype: str, threads: int = 0):
        super().__init__()
        self._path = os.path.abspath(path)
        found = read_configuration(path)
        self._options = found.options
        vocabulary = os.path.join(path, "assets", found.vocabulary_file)
        self._vocabulary, vocab_size, self.word_pieces = _tokenizer(vocabulary, found.options)
        weights = read_variables(os.path.join(path, "variables", "variables"))
        _check(weights, vocab_size, found.encoder.vocab_size, self._path)
        self.dim, self.seq_length = found.encoder.hidden_size, found.options["seq_length"]
        kernels = read_kernels(path, found.encoder)
        num_layers, is_prepared = found.encoder.num_layers, kernels is not None
        compute_dtype = choose_precision(compute_dtype, "openvino", num_layers, is_prepared)
        self.compute_dtype = compute_dtype
        self.backend = OpenVINO(weights, found.encoder, compute_dtype, threads, kernels)

    def _prompts(self) -> tuple[Mapping[str, str], str | None]:
        return self._options.get("prompts", {}), self._options.get("default_prompt_name")

    def fingerprint(self) -> str:
        """See `Embedder.fingerprint`: of the float32 weights that `labse_tf.load` makes."""
        weights, config = self.backend.weights, self.backend.config
        scales = {"embeddings/word": weights.get("embeddings/word_scale")}
        described = {}
        for name in weight_names(config):
            chunks = float32_chunks(weights[name], scales.get(name))
            described[name] = Weight("float32", weights[name].shape, chunks)
        return compute_fingerprint(
            config, self._vocabulary, self._options, described, self.backend.calibrated
        )

    @functools.cached_property
    def _model(self) -> LaBSE:
        from labse_tf.inference.model import read_model

        return read_model(self._path)

    @property
    def preprocessor(self) -> Preprocessor:
        """The release's, which is read, and TensorFlow imported, when it is first asked for."""
        return self._model.preprocessor

    @property
    def encoder(self) -> Encoder:
        """The release's, as `preprocessor`; its weights are in float32."""
        return self._model.encoder

    def save(self, path: str | os.PathLike, **options) -> None:
        """Writes it, as `LaBSE.save`."""
        self._model.save(path, **options)

    def _made(self, precision: str) -> Windows:
        return Windows(self.word_pieces, self.backend.embedder(precision), self.dim)


def _tokenizer(path: str, options: dict[str, Any]) -> tuple[bytes, int, WordPieces]:
    """Return the content of a vocabulary file, its number of tokens, and a tokenizer."""
    if options["tokenization"] == SENTENCEPIECE:
        from labse_tf.openvino.sentence_pieces import SentencePieces
        from labse_tf.tokenization.sentencepiece_model import SentencePieceModel

        model = SentencePieceModel.from_file(path)
        tokenizer = SentencePieces(model, options["seq_length"])
        return model.serialized, model.vocab_size, tokenizer
    ids = read_vocabulary(path)
    content = "".join(f"{token}\n" for token in ids).encode()
    return content, len(ids), OpenVINOWordPieces(ids, options)


def _check(weights: dict[str, np.ndarray], tokens: int, vocab_size: int, path: str) -> None:
    rows = weights["embeddings/word"].shape[0] if "embeddings/word" in weights else 0
    if not rows == tokens == vocab_size:
        raise ValueError(
            f"{path!r} is no whole release: it has {rows} word embeddings and a vocabulary of "
            f"{tokens} tokens, where its configuration says {vocab_size}."
        )
