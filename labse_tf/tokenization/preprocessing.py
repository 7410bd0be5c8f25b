"""Preprocessor: strings in, the three int32 tensors of BERT out."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence

import tensorflow as tf
import tensorflow_text as text

from labse_tf.processes import check_process
from labse_tf.tokenization.choices import GOOGLE, HUGGING_FACE, TOKENIZATIONS
from labse_tf.tokenization.packing import checked_seq_length, pack
from labse_tf.tokenization.vocabulary_files import (
    END,
    MASK,
    PADDING,
    START,
    UNKNOWN,
    ids_of,
    read_vocabulary,
)
from labse_tf.tokenization.words import split_words, without_long_words

DEFAULT_SEQ_LENGTH = 128
_NO_LIMIT = 2**31 - 1  # bytes of a word, where a limit has to be given


class Preprocessor:
    """Splits sentences into word pieces and packs them for the encoder.

    Word pieces, then `[CLS] pieces [SEP]`, cut to `seq_length` and padded. All of it is TensorFlow
    ops, so it runs inside tf.data, in a SavedModel and on strings at hand alike.

    Of the two tokenizations, "google" is `tensorflow_text.BertTokenizer`; with a `max_word_bytes`
    of 100 the ids are those of google/universal-sentence-encoder-cmlm/multilingual-preprocess/2.
    "hugging-face" gives the ids of a BERT model's tokenizer in `tokenizers`: of Unicode's spaces
    each divides words (to Google a no-break space is a part of a word, which is [UNK] then), and
    invisible characters, such as a soft hyphen or a zero-width joiner, are dropped (to Google they
    are spaces).

    Args:
        vocabulary: path of a file of one token a line, the line number being the id; or the tokens
            themselves. They are kept: what becomes of the file later changes nothing.
        seq_length: longest sequence in tokens, [CLS] and [SEP] included.
        lower_case: whether to fold case and strip accents first; LaBSE's vocabulary is cased.
        max_word_bytes: a longer word is [UNK]; None: none is. Google's models have 100, which is
            33 letters of kana, Thai, Lao, Khmer or Burmese, where a whole sentence is a word. Of
            "google" alone.
        tokenization: "google" or "hugging-face".
        max_word_characters: the limit of "hugging-face", whose models have 100.

    Attributes:
        vocabulary: the tokens as a file has them, a line each, in UTF-8.

    Raises:
        FileNotFoundError: there is no such vocabulary.
        ValueError: the vocabulary cannot be used (see `read_vocabulary`), `seq_length` is below 3,
            there is no such tokenization, or a limit is below 1 or of the other tokenization.

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
        tokenization: str = GOOGLE,
        max_word_characters: int | None = None,
    ):
        self.seq_length = checked_seq_length(seq_length)
        self.lower_case = bool(lower_case)
        if tokenization not in TOKENIZATIONS:
            raise ValueError(f"`tokenization` (={tokenization!r}) must be one of {TOKENIZATIONS}.")
        for name, limit, of in (
            ("max_word_bytes", max_word_bytes, GOOGLE),
            ("max_word_characters", max_word_characters, HUGGING_FACE),
        ):
            if limit is not None and limit < 1:
                raise ValueError(f"`{name}` (={limit}) must be at least 1, or None.")
            if limit is not None and tokenization != of:
                raise ValueError(
                    f"`{name}` (={limit}) is a limit of the tokenization {of!r}, but "
                    f"`tokenization` is {tokenization!r}."
                )
        self.tokenization = tokenization
        self.max_word_bytes, self.max_word_characters = max_word_bytes, max_word_characters
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
        self._word_pieces = None

    @property
    def options(self) -> dict[str, int | bool | str | None]:
        """Its arguments but for the vocabulary; of JSON's types."""
        return dict(
            seq_length=self.seq_length,
            lower_case=self.lower_case,
            tokenization=self.tokenization,
            max_word_bytes=self.max_word_bytes,
            max_word_characters=self.max_word_characters,
        )

    @property
    def tokens(self) -> list[str]:
        """The vocabulary, by id."""
        return self.vocabulary.decode().split("\n")[:-1]

    def _tokenizer(self) -> text.FastWordpieceTokenizer:
        """Splits words into pieces; made when it is first needed, which takes a second for LaBSE.

        It takes a time that is linear in a word's length, and a tenth of what the lookups of
        `tensorflow_text.WordpieceTokenizer` take, whose ids it gives. What it looks up in is one
        constant, which all functions share.
        """
        check_process()  # in a graph when it is traced, not when it runs
        if self._word_pieces is None:
            with tf.init_scope():
                self._word_pieces = text.FastWordpieceTokenizer(
                    # It takes no NUL, which no word holds; nor does one hold a line end.
                    [f"\n{i}" if "\0" in t else t for i, t in enumerate(self.tokens)],
                    token_out_type=tf.int32,
                    no_pretokenization=True,
                    max_bytes_per_word=self.max_word_bytes or _NO_LIMIT,
                )
        return self._word_pieces

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
        words = split_words(sentences, self.tokenization, self.lower_case)
        return self._tokenizer().tokenize(without_long_words(words, self.max_word_characters))

    def word_pieces(self, sentences: tf.Tensor) -> tf.RaggedTensor:
        """string [batch] -> word piece ids, int32 [batch, (pieces)], uncut, nothing around them."""
        return self.tokenize(sentences).merge_dims(1, -1)

    def pack(
        self, segments: Sequence[tf.RaggedTensor], seq_length: int | tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """One or two segments, int32 [batch, (pieces)], as `labse_tf.tokenization.packing.pack`."""
        check_process()
        return pack(
            segments,
            seq_length,
            start_id=self.start_id,
            end_id=self.end_id,
            padding_id=self.padding_id,
        )

    def pack_to_longest(self, pieces: tf.RaggedTensor) -> dict[str, tf.Tensor]:
        """int32 [batch, (pieces)], packed as wide as the longest sentence, at most `seq_length`."""
        longest = tf.cast(tf.reduce_max(tf.concat([[0], pieces.row_lengths()], 0)), tf.int32) + 2
        return self.pack([pieces], tf.minimum(longest, self.seq_length))

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
