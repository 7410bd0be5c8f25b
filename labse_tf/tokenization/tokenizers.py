"""The two tokenizer families as TensorFlow ops: WordPiece and SentencePiece."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import tensorflow as tf
import tensorflow_text as text

from labse_tf.processes import check_process
from labse_tf.tokenization.choices import GOOGLE, HUGGING_FACE
from labse_tf.tokenization.sentencepiece_model import (
    END_ID,
    OFFSET,
    PADDING_ID,
    START_ID,
    UNKNOWN_ID,
    SentencePieceModel,
)
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

_NO_LIMIT = 2**31 - 1  # bytes of a word, where a limit has to be given
_CONTINUATION = "##"
_WORD_START = "\u2581"  # SentencePiece's mark for the space before a word


class WordPieceTokenizer:
    """Splits sentences into words, and words into WordPiece tokens.

    Args:
        vocabulary: Path of a file with one token per line, or the tokens.
        tokenization: "google" or "hugging-face"; how text is split into words.
        lower_case: Whether to fold case and strip accents.
        max_word_bytes: A longer word is [UNK]. None: no limit. Only for "google".
        max_word_characters: A longer word is [UNK]. None: no limit. Only for "hugging-face".

    Attributes:
        vocabulary: Content of the vocabulary file: one token per line, in UTF-8.
        vocab_size: Number of tokens.
        start_id, end_id, padding_id, unknown_id: Ids of [CLS], [SEP], [PAD] and [UNK].
        mask_id: Id of [MASK], or None.
        resources: TensorFlow resources that a SavedModel has to track.

    Raises:
        FileNotFoundError: If there is no such vocabulary file.
        ValueError: If the vocabulary is invalid (see `read_vocabulary`), or a limit is below 1 or
            belongs to the other tokenization.
    """

    resources: tuple = ()

    def __init__(
        self,
        vocabulary: str | os.PathLike | Sequence[str],
        tokenization: str,
        lower_case: bool = False,
        max_word_bytes: int | None = None,
        max_word_characters: int | None = None,
    ):
        for name, limit, user in (
            ("max_word_bytes", max_word_bytes, GOOGLE),
            ("max_word_characters", max_word_characters, HUGGING_FACE),
        ):
            if limit is not None and limit < 1:
                raise ValueError(f"`{name}` (={limit}) must be at least 1, or None.")
            if limit is not None and tokenization != user:
                raise ValueError(
                    f"`{name}` (={limit}) is a limit of the tokenization {user!r}, but "
                    f"`tokenization` is {tokenization!r}."
                )
        is_path = isinstance(vocabulary, (str, os.PathLike))
        ids = read_vocabulary(vocabulary) if is_path else ids_of(vocabulary)
        self._options = (tokenization, lower_case, max_word_bytes, max_word_characters)
        self.vocabulary = "".join(f"{token}\n" for token in ids).encode()
        self.vocab_size = len(ids)
        self.start_id, self.end_id, self.padding_id = ids[START], ids[END], ids[PADDING]
        self.unknown_id, self.mask_id = ids[UNKNOWN], ids.get(MASK)
        self._word_pieces = None

    @property
    def tokens(self) -> list[str]:
        """Tokens in the order of their ids."""
        return self.vocabulary.decode().split("\n")[:-1]

    @property
    def continues_word(self) -> list[bool]:
        """For each id, whether the token continues a word."""
        return [token.startswith(_CONTINUATION) for token in self.tokens]

    @property
    def required_ids(self) -> set[int]:
        """Ids that pruning must retain."""
        ids = (self.start_id, self.end_id, self.padding_id, self.unknown_id, self.mask_id)
        return {i for i in ids if i is not None}

    @staticmethod
    def character_tokens(character: str) -> tuple[str, str]:
        """Return the tokens of one character: at the start of a word and inside of one."""
        return character, f"{_CONTINUATION}{character}"

    def with_token_ids(self, token_ids: Iterable[int]) -> WordPieceTokenizer:
        """Return a tokenizer with some of the tokens, renumbered in their order."""
        tokens = self.tokens
        return WordPieceTokenizer([tokens[i] for i in token_ids], *self._options)

    def tokenize(self, sentences: tf.Tensor) -> tf.RaggedTensor:
        """Tokenize strings [batch] to int32 token ids [batch, (words), (tokens of a word)]."""
        tokenization, lower_case, _, max_word_characters = self._options
        words = split_words(sentences, tokenization, lower_case)
        return self._tokenizer().tokenize(without_long_words(words, max_word_characters))

    def _tokenizer(self) -> text.FastWordpieceTokenizer:
        """Return the word tokenizer, built on first use (a second for LaBSE's vocabulary).

        It takes time linear in the length of a word, a tenth of the time of
        `tensorflow_text.WordpieceTokenizer`, and returns the same ids. Its lookup table is one
        constant that all functions share.
        """
        check_process()  # in a graph when it is traced, not when it runs
        if self._word_pieces is None:
            max_word_bytes = self._options[2]
            with tf.init_scope():
                self._word_pieces = text.FastWordpieceTokenizer(
                    # It rejects NUL. Words contain neither NUL nor a line end.
                    [f"\n{i}" if "\0" in t else t for i, t in enumerate(self.tokens)],
                    token_out_type=tf.int32,
                    no_pretokenization=True,
                    max_bytes_per_word=max_word_bytes or _NO_LIMIT,
                )
        return self._word_pieces


class SentencePieceTokenizer:
    """Segments sentences by a SentencePiece model, with the token ids of XLM-RoBERTa.

    Args:
        vocabulary: Path of the model file, its content, or the model.

    Attributes:
        vocabulary: Content of the model file.
        start_id, end_id, padding_id, unknown_id, mask_id: Ids of `<s>`, `</s>`, `<pad>`, `<unk>`
            and `<mask>`.
        vocab_size: Number of token ids.

    Raises:
        FileNotFoundError: If there is no such model file.
        ValueError: If it is not a SentencePiece model in XLM-RoBERTa's layout.
    """

    start_id, padding_id, end_id, unknown_id = START_ID, PADDING_ID, END_ID, UNKNOWN_ID

    def __init__(self, vocabulary: str | os.PathLike | bytes | SentencePieceModel):
        if isinstance(vocabulary, (str, os.PathLike)):
            vocabulary = SentencePieceModel.from_file(vocabulary)
        elif not isinstance(vocabulary, SentencePieceModel):
            vocabulary = SentencePieceModel(vocabulary)
        self.model = vocabulary
        self.vocabulary = vocabulary.serialized
        self.vocab_size, self.mask_id = vocabulary.vocab_size, vocabulary.mask_id
        self._tokenizer: text.SentencepieceTokenizer | None = None

    @property
    def tokens(self) -> list[str]:
        """Tokens in the order of their ids."""
        return self.model.tokens

    @property
    def continues_word(self) -> list[bool]:
        """For each id, whether the token continues a word."""
        return [not token.startswith(_WORD_START) for token in self.tokens]

    @property
    def required_ids(self) -> set[int]:
        """Ids that pruning must retain (see `SentencePieceModel.required_ids`)."""
        return self.model.required_ids

    @staticmethod
    def character_tokens(character: str) -> tuple[str, str]:
        """Return the tokens of one character: at the start of a word and inside of one."""
        return f"{_WORD_START}{character}", character

    @property
    def resources(self) -> tuple:
        """TensorFlow resources that a SavedModel has to track."""
        return (self._built(),)

    def with_token_ids(self, token_ids: Iterable[int]) -> SentencePieceTokenizer:
        """Return a tokenizer with some of the tokens (see `SentencePieceModel`)."""
        return SentencePieceTokenizer(self.model.with_token_ids(token_ids))

    def tokenize(self, sentences: tf.Tensor) -> tf.RaggedTensor:
        """Tokenize strings [batch] to int32 token ids [batch, (tokens)]."""
        pieces = self._built().tokenize(sentences)
        # Control pieces, 1 and 2 in the model, do not occur in text.
        ids = tf.where(pieces.values == 0, UNKNOWN_ID, pieces.values + OFFSET)
        return pieces.with_values(ids)

    def _built(self) -> text.SentencepieceTokenizer:
        check_process()
        if self._tokenizer is None:
            with tf.init_scope():
                self._tokenizer = text.SentencepieceTokenizer(self.vocabulary, tf.int32)
        return self._tokenizer
