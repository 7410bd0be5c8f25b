"""Word pieces of a window's sentences: in which parts they are embedded, and in which batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from labse_tf.inference.batching import plan
from labse_tf.tokenization.preprocessing import Preprocessor

LONG = ("cut", "mean")  # what becomes of a sentence that is longer than `seq_length`


class Tokens(NamedTuple):
    """What is embedded of some sentences. Each is one part; a long one may be several.

    Args:
        pieces: int32 [parts, (pieces)], the parts of a sentence one behind the other.
        order: int64 [parts], the parts as they come in batches: by falling length.
        ends: int32 [batches], the place in `order` behind the last part of each batch.
        widths: int32 [batches], what each batch is padded to.
        sentences: int32 [parts], the sentence that each is of.
        shares: float32 [parts], its share of the pieces of its sentence; 1 of the only one.
        marks: bool [sentences, 2], whether it is cut, and whether it is nothing but [UNK].
    """

    pieces: tf.RaggedTensor
    order: tf.Tensor
    ends: tf.Tensor
    widths: tf.Tensor
    sentences: tf.Tensor
    shares: tf.Tensor
    marks: tf.Tensor


def tokenizing(preprocessor: Preprocessor, long: str) -> Callable[[tf.Tensor, tf.Tensor], Tokens]:
    """The graph from sentences in UTF-8, string [n], and the most tokens of a batch, to Tokens.

    Args:
        preprocessor: splits sentences into word pieces.
        long: of sentences with more pieces than fit into `seq_length` beside [CLS] and [SEP]:
            "cut" leaves the rest to `Preprocessor.pack`, "mean" makes parts of them.
    """
    room = preprocessor.seq_length - 2

    def tokenize(sentences, batch_tokens):
        pieces = preprocessor.word_pieces(sentences)
        lengths = pieces.row_lengths()
        is_unknown = tf.cast(tf.equal(pieces, preprocessor.unknown_id), tf.int64)
        all_unknown = (tf.reduce_sum(is_unknown, axis=1) == lengths) & (lengths > 0)
        too_long = lengths > room
        if long == "mean":
            too_long = tf.zeros_like(too_long)
            pieces, of, shares = _split(pieces, room)
        else:
            of, shares = tf.range(tf.size(lengths)), tf.ones(tf.shape(lengths))
        widths = tf.cast(tf.minimum(pieces.row_lengths(), room), tf.int32) + 2
        order = tf.argsort(widths, direction="DESCENDING", stable=True)
        batches = plan(tf.gather(widths, order), batch_tokens)
        marks = tf.stack([too_long, all_unknown], axis=1)
        return Tokens(pieces, tf.cast(order, tf.int64), *batches, of, shares, marks)

    return tf.function(
        tokenize,
        autograph=False,
        input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.int32)],
    )


def _split(pieces: tf.RaggedTensor, room: int) -> tuple[tf.RaggedTensor, tf.Tensor, tf.Tensor]:
    """Parts of `room` pieces, the last one of what is left; `Tokens.sentences` and `.shares`."""
    lengths = pieces.row_lengths()
    parts = tf.maximum((lengths + room - 1) // room, 1)
    of = tf.repeat(tf.range(tf.size(lengths)), parts)
    number = tf.range(tf.size(of, tf.int64)) - tf.gather(tf.cumsum(parts, exclusive=True), of)
    whole = tf.gather(lengths, of)
    sizes = tf.minimum(whole - number * room, room)
    split = tf.RaggedTensor.from_row_lengths(pieces.flat_values, sizes, validate=False)
    # An empty sentence has the one part of no pieces.
    shares = tf.cast(tf.maximum(sizes, 1), tf.float32) / tf.cast(tf.maximum(whole, 1), tf.float32)
    return split, of, shares
