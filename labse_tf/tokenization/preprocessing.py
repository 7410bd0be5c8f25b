"""Preprocessor: strings in, the three int32 tensors of BERT out."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence

import tensorflow as tf
import tensorflow_text as text

from labse_tf.tokenization.vocabulary_files import (
    END,
    MASK,
    PADDING,
    START,
    UNKNOWN,
    ids_of,
    read_vocabulary,
)

DEFAULT_SEQ_LENGTH = 128
GOOGLE_MAX_WORD_BYTES = 100  # of Google's models, and of the releases before there was a choice
NO_LIMIT = 2**31 - 1  # bytes of a word, where a limit has to be given


class Preprocessor:
    """Splits sentences into word pieces and packs them for the encoder.

    Word pieces by `tensorflow_text.BertTokenizer`, then `[CLS] pieces [SEP]`, cut to `seq_length`
    and padded. With a `max_word_bytes` of 100 the ids are those of
    google/universal-sentence-encoder-cmlm/multilingual-preprocess/2. All of it is TensorFlow ops,
    so it runs inside tf.data, in a SavedModel and on strings at hand alike.

    Args:
        vocabulary: path of a file of one token a line, the line number being the id; or the tokens
            themselves. They are kept: what becomes of the file later changes nothing.
        seq_length: longest sequence in tokens, [CLS] and [SEP] included.
        lower_case: whether to fold case and strip accents first; LaBSE's vocabulary is cased.
        max_word_bytes: a longer word is [UNK]; None: none is. Google's models have 100, which is
            33 letters of kana, Thai, Lao, Khmer or Burmese, where a whole sentence is a word.

    Attributes:
        vocabulary: the tokens as a file has them, a line each, in UTF-8.

    Raises:
        FileNotFoundError: there is no such vocabulary.
        ValueError: the vocabulary cannot be used (see `read_vocabulary`), `seq_length` is below 3,
            or `max_word_bytes` below 1.

    Example:
        >>> preprocessor = Preprocessor("cased_vocab.txt")
        >>> preprocessor(tf.constant(["Hello"]))["input_word_ids"].shape
        TensorShape([1, 128])
    """

    def __init__(
        self,
        vocabulary: str | os.PathLike | Sequence[str],
        seq_length: int = DEFAULT_SEQ_LENGTH,
        lower_case: bool = False,
        max_word_bytes: int | None = None,
    ):
        self.seq_length = _checked_seq_length(seq_length)
        self.lower_case = bool(lower_case)
        if max_word_bytes is not None and max_word_bytes < 1:
            raise ValueError(f"`max_word_bytes` (={max_word_bytes}) must be at least 1, or None.")
        self.max_word_bytes = max_word_bytes
        from_file = isinstance(vocabulary, (str, os.PathLike))
        self._set_vocabulary(read_vocabulary(vocabulary) if from_file else ids_of(vocabulary))

    def with_tokens(self, tokens: Sequence[str]) -> Preprocessor:
        """A preprocessor like this one, with another vocabulary."""
        other = copy.copy(self)
        other._set_vocabulary(ids_of(tokens))
        return other

    def _set_vocabulary(self, ids: dict[str, int]) -> None:
        self.vocabulary = "".join(f"{token}\n" for token in ids).encode()
        self.vocab_size = len(ids)
        self.start_id, self.end_id, self.padding_id = ids[START], ids[END], ids[PADDING]
        self.unknown_id, self.mask_id = ids[UNKNOWN], ids.get(MASK)
        # The tokenizer looks for no longer piece: without it, the time that a word takes grows
        # with the square of its length.
        self._longest_token = max(map(len, ids))
        # Not read by TensorFlow from the file: such tables are shared by the file's name, so that
        # one process would go on with the old table when the file has been replaced.
        self._look_up_in(
            tf.lookup.KeyValueTensorInitializer(list(ids), range(len(ids)), tf.string, tf.int64)
        )

    @property
    def tokens(self) -> list[str]:
        """The vocabulary, by id."""
        return self.vocabulary.decode().split("\n")[:-1]

    def reading_from(self, vocab_file: str) -> Preprocessor:
        """The same preprocessor on a table that TensorFlow fills from a file, which this writes.

        For a SavedModel, which then keeps the vocabulary as an asset, not as constants; the
        result has the path as `vocab_file`.
        """
        with open(vocab_file, "wb") as file:
            file.write(self.vocabulary)
        other = copy.copy(self)
        other.vocab_file = vocab_file
        whole_line, line_number = (
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        other._look_up_in(
            tf.lookup.TextFileInitializer(vocab_file, tf.string, whole_line, tf.int64, line_number)
        )
        return other

    def _look_up_in(self, initializer) -> None:
        # The initializer is kept beside the table: a SavedModel that is loaded and saved again
        # would otherwise lose the vocabulary file (tensorflow issue 46456).
        self.table_initializer = initializer
        self.table = tf.lookup.StaticHashTable(initializer, default_value=-1)
        self._tokenizer = text.BertTokenizer(
            self.table,
            lower_case=self.lower_case,
            max_bytes_per_word=self.max_word_bytes or NO_LIMIT,
            max_chars_per_token=self._longest_token,
        )

    @property
    def special_tokens(self) -> dict[str, int]:
        """The ids of special tokens under the Hub API's names, and `vocab_size`."""
        ids = dict(
            start_of_sequence_id=self.start_id,
            end_of_segment_id=self.end_id,
            padding_id=self.padding_id,
            vocab_size=self.vocab_size,
        )
        if self.mask_id is not None:
            ids["mask_id"] = self.mask_id
        return ids

    def __call__(self, sentences: tf.Tensor) -> dict[str, tf.Tensor]:
        """string [batch] -> dict of int32 [batch, seq_length], the width static."""
        return self.pack([self.word_pieces(sentences)], self.seq_length)

    def tokenize(self, sentences: tf.Tensor) -> tf.RaggedTensor:
        """string [batch] -> word piece ids, int32 [batch, (words), (pieces of a word)]."""
        sentences = tf.convert_to_tensor(sentences, tf.string)
        return tf.cast(self._tokenizer.tokenize(sentences), tf.int32)

    def word_pieces(self, sentences: tf.Tensor) -> tf.RaggedTensor:
        """string [batch] -> word piece ids, int32 [batch, (pieces)], uncut, nothing around them."""
        return self.tokenize(sentences).merge_dims(1, -1)

    def pack(
        self, segments: Sequence[tf.RaggedTensor], seq_length: int | tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Packs one or two segments: `[CLS] pieces [SEP]`, or `[CLS] pieces [SEP] pieces [SEP]`.

        What does not fit is cut as `tensorflow_text.RoundRobinTrimmer` cuts it: each of two
        segments gets half of the room, the first the odd place, and what one does not need goes
        to the other. Written with core TensorFlow ops, since the trimmer's own op is not linked by
        TensorFlow Serving 2.12 to 2.19.

        Args:
            segments: one or two RaggedTensors, int32 [batch, (pieces)].
            seq_length: width of the result, at least 3.

        Returns:
            dict of int32 [batch, seq_length]; the width is static when `seq_length` is an int.

        Raises:
            ValueError: not one or two segments, or `seq_length` leaves no room.
        """
        if len(segments) not in (1, 2):
            raise ValueError(f"Can pack one or two segments, but got {len(segments)}.")
        if not tf.is_tensor(seq_length):
            seq_length = _checked_seq_length(seq_length)
        room = tf.maximum(0, seq_length - len(segments) - 1)
        lengths = [tf.cast(segment.row_lengths(), tf.int32) for segment in segments]
        if len(segments) == 1:
            lengths = [tf.minimum(lengths[0], room)]
        else:
            first, second = lengths
            tf.debugging.assert_equal(
                tf.size(first), tf.size(second), "The two segments differ in their batch size."
            )
            lengths = [
                tf.minimum(first, tf.maximum((room + 1) // 2, room - second)),
                tf.minimum(second, tf.maximum(room // 2, room - first)),
            ]
        position = tf.range(seq_length)[tf.newaxis, :]
        start = 1  # where the next segment begins, an int or int32 [batch, 1]
        ids = tf.where(position == 0, self.start_id, self.padding_id)
        types = tf.zeros_like(position)
        for index, (segment, length) in enumerate(zip(segments, lengths, strict=True)):
            length = length[:, tf.newaxis]
            offset = position - start
            if index == 0:  # begins in the same column in every row
                pieces = tf.pad(_to_dense(segment, seq_length - 1), [[0, 0], [1, 0]])
            else:
                pieces = _gather_in_rows(_to_dense(segment, seq_length), offset)
            ids = tf.where((offset >= 0) & (offset < length), pieces, ids)
            ids = tf.where(offset == length, self.end_id, ids)
            types = tf.where((offset >= 0) & (offset <= length), index, types)
            start = start + length + 1
        mask = tf.cast(position < start, tf.int32)
        packed = dict(input_word_ids=ids, input_mask=mask, input_type_ids=types)
        if not tf.is_tensor(seq_length):
            packed = {k: tf.ensure_shape(v, [None, seq_length]) for k, v in packed.items()}
        return packed

    def bert_pack_inputs(
        self, segments: Sequence[tf.RaggedTensor], seq_length: int | tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """The Hub API's `bert_pack_inputs`: `pack` on what `tokenize` gives.

        Args:
            segments: one or two int32 RaggedTensors, [batch, (words), (pieces)] or
                [batch, (pieces)].
            seq_length: width of the result; by default the preprocessor's.
        """
        if not isinstance(segments, (list, tuple)):
            segments = [segments]
        segments = [s.merge_dims(1, -1) if s.shape.rank > 2 else s for s in segments]
        return self.pack(segments, self.seq_length if seq_length is None else seq_length)


def _checked_seq_length(seq_length: int) -> int:
    if seq_length < 3:
        raise ValueError(
            f"`seq_length` (={seq_length}) must be at least 3: [CLS], a word piece and [SEP]."
        )
    return int(seq_length)


def _to_dense(ragged: tf.RaggedTensor, width: int | tf.Tensor) -> tf.Tensor:
    """[batch, (n)] -> [batch, width], cut or filled with zeros."""
    if not tf.is_tensor(width):
        return ragged.to_tensor(shape=[None, width])
    dense = ragged.to_tensor()[:, :width]
    return tf.pad(dense, [[0, 0], [0, width - tf.shape(dense)[1]]])


def _gather_in_rows(rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """rows[i, columns[i, j]] for columns [batch or 1, n]; those out of range give anything."""
    columns = tf.clip_by_value(columns, 0, tf.shape(rows)[1] - 1)
    columns = tf.broadcast_to(columns, tf.stack([tf.shape(rows)[0], tf.shape(columns)[1]]))
    return tf.gather(rows, columns, batch_dims=1)
