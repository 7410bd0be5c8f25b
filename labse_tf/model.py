"""LaBSE: sentences in, unit vectors out."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from labse_tf.encoder import Encoder
from labse_tf.preprocessing import Preprocessor

DEFAULT_BATCH_TOKENS = 4096
_WINDOW = 16_384  # sentences tokenised and sorted at a time


class LaBSE:
    """A preprocessor and an encoder: what `labse_tf.load` returns.

    Args:
        preprocessor: makes the token ids.
        encoder: embeds them.

    Raises:
        ValueError: the vocabulary's size is not the embedding table's, or sequences are longer
            than the encoder has positions.

    Example:
        >>> model = labse_tf.load("build/demo/model")
        >>> model.encode(["Hello", "Hallo"]).shape
        (2, 256)
    """

    def __init__(self, preprocessor: Preprocessor, encoder: Encoder):
        config = encoder.config
        if preprocessor.vocab_size != config.vocab_size:
            raise ValueError(
                f"The vocabulary {preprocessor.vocab_file!r} has {preprocessor.vocab_size} tokens, "
                f"but the encoder's `vocab_size` is {config.vocab_size}."
            )
        if preprocessor.seq_length > config.max_positions:
            raise ValueError(
                f"`seq_length` (={preprocessor.seq_length}) must be at most the encoder's "
                f"`max_positions` (={config.max_positions})."
            )
        self.preprocessor = preprocessor
        self.encoder = encoder
        self._word_pieces = tf.function(
            preprocessor.word_pieces, input_signature=[tf.TensorSpec([None], tf.string)]
        )
        self._embed = tf.function(
            self._embed_rows,
            input_signature=[
                tf.RaggedTensorSpec([None, None], tf.int32),
                tf.TensorSpec([None], tf.int64),
                tf.TensorSpec([], tf.int32),
            ],
        )

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self.encoder.config.hidden_size

    def encode(
        self,
        sentences: Iterable[str],
        *,
        batch_tokens: int = DEFAULT_BATCH_TOKENS,
        show_progress: bool | None = None,
    ) -> np.ndarray:
        """Embeds sentences, in batches of like length.

        Args:
            sentences: strings; an empty one is legal. One longer than the preprocessor's
                `seq_length` is cut, and a warning says how many were.
            batch_tokens: tokens of a batch, padding included.
            show_progress: whether to draw a progress bar on stderr; None: if it is a terminal.

        Returns:
            float32 [len(sentences), dim], rows of unit length, in the order of `sentences`.

        Raises:
            TypeError: `sentences` is a string, or one of them is not (the message has its index).
            ValueError: a sentence holds a lone surrogate, which has no UTF-8 form.
        """
        sentences = checked_sentences(sentences)
        if batch_tokens < 1:
            raise ValueError(f"`batch_tokens` (={batch_tokens}) must be at least 1.")
        embeddings = np.empty([len(sentences), self.dim], np.float32)
        longest = self.preprocessor.seq_length - 2
        too_long = 0
        if show_progress is None:
            show_progress = sys.stderr.isatty()
        with tqdm(total=len(sentences), unit=" sentences", disable=not show_progress) as bar:
            for start in range(0, len(sentences), _WINDOW):
                pieces = self._word_pieces(tf.constant(sentences[start : start + _WINDOW]))
                lengths = pieces.row_lengths().numpy()
                too_long += int(np.sum(lengths > longest))
                lengths = np.minimum(lengths, longest)
                for rows, width in _batches(lengths, batch_tokens, self.preprocessor.seq_length):
                    embeddings[start + rows] = self._embed(pieces, rows, width).numpy()
                    bar.update(len(rows))
        if too_long:
            warnings.warn(
                f"{too_long} of {len(sentences)} sentences are longer than `seq_length` "
                f"(={self.preprocessor.seq_length}) tokens and were cut.",
                stacklevel=2,
            )
        return embeddings

    def similarity(self, a: Sequence[str], b: Sequence[str]) -> np.ndarray:
        """Cosines of each sentence of a with each of b, float32 [len(a), len(b)]."""
        return self.encode(a) @ self.encode(b).T

    def save(self, path: str | os.PathLike, **options) -> None:
        """Writes a release; for the options see `labse_tf.saved_model.write_release`."""
        from labse_tf.saved_model import write_release

        write_release(path, self.preprocessor, self.encoder, **options)

    def _embed_rows(self, pieces: tf.RaggedTensor, rows: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        packed = self.preprocessor.pack([tf.gather(pieces, rows)], width)
        return tf.math.l2_normalize(self.encoder(packed)["default"], axis=1)


def checked_sentences(sentences: Iterable[str]) -> list[bytes]:
    """The sentences in UTF-8, or an error that says which one is none."""
    if isinstance(sentences, (str, bytes)):
        raise TypeError(
            f"`sentences` must be a list of strings, but it is one string: {sentences!r}. "
            "Put it in a list."
        )
    encoded = []
    for index, sentence in enumerate(sentences):
        if not isinstance(sentence, str):
            raise TypeError(
                f"Sentence {index} is not a string, but {type(sentence).__name__}: {sentence!r}."
            )
        try:
            encoded.append(sentence.encode("utf-8"))
        except UnicodeEncodeError as error:
            raise ValueError(f"Sentence {index} cannot be written as UTF-8: {error}.") from error
    return encoded


def _batches(lengths: np.ndarray, batch_tokens: int, seq_length: int):
    """Yields (rows, width): rows of like length, so many that rows * width <= batch_tokens."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        # Widths are multiples of 8: fewer distinct shapes for the allocator and oneDNN's caches.
        width = min(seq_length, -(-(int(lengths[order[start]]) + 2) // 8) * 8)
        rows = order[start : start + max(1, batch_tokens // width)]
        yield rows, width
        start += len(rows)
