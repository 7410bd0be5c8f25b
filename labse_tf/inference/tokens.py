"""Word pieces of a window's sentences: in which parts they are embedded, and in which batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from labse_tf.inference.batching import plan

LONG = ("cut", "mean")  # what becomes of a sentence that is longer than `seq_length`


class WordPieces(Protocol):
    """What splits sentences into word pieces, and knows what is put around them.

    Attributes:
        seq_length: most tokens of a sequence.
        start_id, end_id, padding_id, unknown_id: ids of [CLS], [SEP], [PAD] and [UNK].
    """

    seq_length: int
    start_id: int
    end_id: int
    padding_id: int
    unknown_id: int

    def __call__(self, sentences: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Of sentences in UTF-8 all word pieces, int32 [pieces], one sentence behind the other;
        and where those of each end, int64 [sentences]."""


class Tokens:
    """What is embedded of some sentences. Each is one part; a long one may be several.

    Args:
        word_pieces: splits the sentences.
        sentences: in UTF-8.
        long: of sentences with more pieces than fit into `seq_length` beside [CLS] and [SEP]:
            "cut" leaves the rest out, "mean" makes parts of them.

    Attributes:
        sentences: int64 [parts], the sentence that each is of; the parts of a sentence are one
            behind the other.
        shares: float32 [parts], its share of the pieces of its sentence; 1 of the only one.
        marks: bool [sentences, 2], whether it is cut, and whether it is nothing but [UNK].
    """

    def __init__(self, word_pieces: WordPieces, sentences: Sequence[bytes], long: str):
        self._ids, self._pieces = word_pieces, word_pieces(sentences)
        pieces, ends = self._pieces
        room = word_pieces.seq_length - 2
        starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
        lengths = ends - starts
        unknown = np.concatenate([[0], np.cumsum(pieces == word_pieces.unknown_id)])
        all_unknown = (unknown[ends] - unknown[starts] == lengths) & (lengths > 0)
        is_cut = lengths > room
        self.sentences = np.arange(len(ends))
        self.shares = np.ones(len(ends), np.float32)
        if long == "mean":
            if is_cut.any():
                starts, lengths = self._split(starts, lengths, room)
            is_cut = np.zeros_like(is_cut)
        self._starts, self._lengths = starts, np.minimum(lengths, room)
        self.marks = np.stack([is_cut, all_unknown], axis=1)

    def batches(self, batch_tokens: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Of each batch the parts, int64 [n], their ids and their mask, int32 [n, width].

        Args:
            batch_tokens: the most tokens of a batch, padding included.
        """
        order = np.argsort(-self._lengths, kind="stable")
        for rows, width in plan(self._lengths[order] + 2, batch_tokens):
            yield order[rows], *self._packed(order[rows], width)

    def _packed(self, parts: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
        """[CLS] pieces [SEP], padded."""
        special, (pieces, _) = self._ids, self._pieces
        lengths = self._lengths[parts, np.newaxis]
        places = np.arange(width)
        ids = np.full([len(parts), width], special.padding_id, np.int32)
        ids[:, 0] = special.start_id
        inside = (places > 0) & (places <= lengths)
        ids[inside] = pieces[(self._starts[parts, np.newaxis] + places - 1)[inside]]
        ids[places == lengths + 1] = special.end_id
        return ids, (places < lengths + 2).astype(np.int32)

    def _split(
        self, starts: np.ndarray, lengths: np.ndarray, room: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where parts of `room` pieces start, the last one of what is left; and their lengths."""
        counts = np.maximum(-(-lengths // room), 1)
        self.sentences = np.repeat(np.arange(len(lengths)), counts)
        number = np.arange(len(self.sentences)) - np.repeat(np.cumsum(counts) - counts, counts)
        whole = lengths[self.sentences]
        sizes = np.minimum(whole - number * room, room)
        # An empty sentence has the one part of no pieces.
        self.shares = (np.maximum(sizes, 1) / np.maximum(whole, 1)).astype(np.float32)
        return starts[self.sentences] + number * room, sizes
