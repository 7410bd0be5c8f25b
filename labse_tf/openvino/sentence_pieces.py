"""SentencePiece tokens without TensorFlow, by the library sentencepiece.

A module of its own, so that a WordPiece release starts without importing the library.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import sentencepiece

from labse_tf.tokenization.sentencepiece_model import (
    END_ID,
    OFFSET,
    PADDING_ID,
    START_ID,
    UNKNOWN_ID,
    SentencePieceModel,
)


class SentencePieces:
    """SentencePiece tokens as `labse_tf.inference.tokens.WordPieces`, by the library sentencepiece.

    Args:
        model: The SentencePiece model.
        seq_length: Longest sequence in tokens.
    """

    start_id, padding_id, end_id, unknown_id = START_ID, PADDING_ID, END_ID, UNKNOWN_ID

    def __init__(self, model: SentencePieceModel, seq_length: int):
        self.seq_length = seq_length
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model.serialized)

    def __call__(self, sentences: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        # One thread: the next window is tokenized while this one is embedded.
        pieces = self._processor.encode(list(sentences), out_type=int, num_threads=1)
        ends = np.cumsum([len(row) for row in pieces], dtype=np.int64)
        ids = np.fromiter(itertools.chain.from_iterable(pieces), np.int32)
        return np.where(ids == 0, np.int32(UNKNOWN_ID), ids + np.int32(OFFSET)), ends
