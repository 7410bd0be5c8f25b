"""Preprocessor: sentences to the three int32 tensors of BERT."""

from __future__ import annotations

import copy
import os
import types
from collections.abc import Iterable, Mapping, Sequence

import tensorflow as tf

from labse_tf.processes import check_process
from labse_tf.tokenization.choices import (
    GOOGLE,
    SENTENCEPIECE,
    TOKENIZATIONS,
    WORDPIECE_TOKENIZATIONS,
    vocabulary_file_name,
)
from labse_tf.tokenization.packing import checked_seq_length, pack
from labse_tf.tokenization.prompts import check_prompts, choose_prompt
from labse_tf.tokenization.sentencepiece_model import SentencePieceModel
from labse_tf.tokenization.tokenizers import SentencePieceTokenizer, WordPieceTokenizer

DEFAULT_SEQ_LENGTH = 128


class Preprocessor:
    """Tokenizes sentences and packs the token ids for the encoder.

    A sequence is `[CLS] tokens [SEP]` (SentencePiece: `<s> tokens </s>`), truncated to `seq_length`
    and padded. All of it is TensorFlow ops: it runs inside tf.data, in a SavedModel and eagerly.

    There are three tokenizations:

    - "google": WordPiece as `tensorflow_text.BertTokenizer`. With `max_word_bytes=100` the ids are
      those of google/universal-sentence-encoder-cmlm/multilingual-preprocess/2.
    - "hugging-face": WordPiece as a BERT model's tokenizer in `tokenizers`. Every Unicode space
      divides words (for Google a no-break space is a part of a word, which is then [UNK]), and
      invisible characters, such as a soft hyphen or a zero-width joiner, are dropped (for Google
      they are spaces).
    - "sentencepiece": a SentencePiece model with the token ids of XLM-RoBERTa (`<s>` 0, `<pad>` 1,
      `</s>` 2, `<unk>` 3, piece i at i + 1), as in multilingual E5, BGE-M3 and
      paraphrase-multilingual-MiniLM-L12-v2.

    Args:
        vocabulary: Path of the vocabulary, or its content. For WordPiece a file with one token per
            line, or the tokens; for SentencePiece the model file, or its bytes. The content is
            kept: later changes of the file have no effect.
        seq_length: Longest sequence in tokens, the two special tokens included.
        lower_case: Whether to fold case and strip accents first. WordPiece only; LaBSE's
            vocabulary is cased.
        max_word_bytes: A longer word is [UNK]; None: no limit. Google's models have 100, which is
            33 letters of kana, Thai, Lao, Khmer or Burmese, where a whole sentence is a word. Only
            for "google".
        tokenization: "google", "hugging-face" or "sentencepiece".
        max_word_characters: A longer word is [UNK]; None: no limit. Only for "hugging-face", whose
            models have 100.
        prompts: Texts by name that a user can have put before each sentence, such as
            {"query": "query: "}. They are not added here: `encode`, training and a release do.
        default_prompt_name: Name of the prompt that is put before each sentence by default.

    Attributes:
        vocabulary: Content of the vocabulary file, bytes.
        vocab_size: Number of token ids.
        start_id, end_id, padding_id, unknown_id: Ids of the special tokens.
        mask_id: Id of the mask token; None if a WordPiece vocabulary has none.

    Raises:
        FileNotFoundError: If there is no such vocabulary.
        ValueError: If the vocabulary is invalid (see `read_vocabulary` and `SentencePieceModel`),
            `seq_length` is below 3, the tokenization is unknown, an option does not belong to it,
            or `prompts` lacks the default prompt.

    Example:
        >>> preprocessor = Preprocessor("cased_vocab.txt")
        >>> preprocessor(tf.constant(["Hello"]))["input_word_ids"].shape
        TensorShape([1, 128])
    """

    def __init__(
        self,
        vocabulary: str | os.PathLike | Sequence[str] | bytes | SentencePieceModel,
        seq_length: int = DEFAULT_SEQ_LENGTH,
        lower_case: bool = False,
        max_word_bytes: int | None = None,
        tokenization: str = GOOGLE,
        max_word_characters: int | None = None,
        prompts: Mapping[str, str] = types.MappingProxyType({}),
        default_prompt_name: str | None = None,
    ):
        check_prompts(prompts, default_prompt_name)
        self.prompts, self.default_prompt_name = dict(prompts), default_prompt_name
        self.seq_length = checked_seq_length(seq_length)
        self.lower_case = bool(lower_case)
        if tokenization not in TOKENIZATIONS:
            raise ValueError(f"`tokenization` (={tokenization!r}) must be one of {TOKENIZATIONS}.")
        self.tokenization = tokenization
        self.max_word_bytes, self.max_word_characters = max_word_bytes, max_word_characters
        if tokenization == SENTENCEPIECE:
            options = dict(
                lower_case=lower_case or None,
                max_word_bytes=max_word_bytes,
                max_word_characters=max_word_characters,
            )
            if given := [f"`{name}`" for name, value in options.items() if value is not None]:
                raise ValueError(
                    f"{', '.join(given)} cannot be set with the tokenization {SENTENCEPIECE!r}: "
                    "its model normalizes text, and has no longest word."
                )
            self._set_tokenizer(SentencePieceTokenizer(vocabulary))
        else:
            self._set_tokenizer(
                WordPieceTokenizer(
                    vocabulary, tokenization, self.lower_case, max_word_bytes, max_word_characters
                )
            )

    def with_seq_length(self, seq_length: int) -> Preprocessor:
        """Return a preprocessor whose longest sequence has `seq_length` tokens.

        Raises:
            ValueError: If `seq_length` is below 3.
        """
        other = copy.copy(self)
        other.seq_length = checked_seq_length(seq_length)
        return other

    def with_prompts(
        self, prompts: Mapping[str, str], default_prompt_name: str | None = None
    ) -> Preprocessor:
        """Return a preprocessor with other prompts.

        Raises:
            TypeError: If `prompts` is not a mapping of strings to strings.
            ValueError: If the default prompt is not in `prompts`.
        """
        check_prompts(prompts, default_prompt_name)
        other = copy.copy(self)
        other.prompts, other.default_prompt_name = dict(prompts), default_prompt_name
        return other

    def with_token_ids(self, token_ids: Iterable[int]) -> Preprocessor:
        """Return a preprocessor that keeps only these tokens, renumbered in their order."""
        other = copy.copy(self)
        other._set_tokenizer(self._tokenizer.with_token_ids(token_ids))
        return other

    def _set_tokenizer(self, tokenizer: WordPieceTokenizer | SentencePieceTokenizer) -> None:
        self._tokenizer = tokenizer
        self.vocabulary, self.vocab_size = tokenizer.vocabulary, tokenizer.vocab_size
        self.start_id, self.end_id = tokenizer.start_id, tokenizer.end_id
        self.padding_id, self.unknown_id = tokenizer.padding_id, tokenizer.unknown_id
        self.mask_id = tokenizer.mask_id

    @property
    def options(self) -> dict[str, int | bool | str | None]:
        """Arguments of the constructor except the vocabulary, in JSON's types.

        Prompts are left out if there are none, as in releases that are older than prompts.
        """
        options = dict(
            seq_length=self.seq_length,
            lower_case=self.lower_case,
            tokenization=self.tokenization,
            max_word_bytes=self.max_word_bytes,
            max_word_characters=self.max_word_characters,
        )
        if self.prompts:
            options |= dict(prompts=self.prompts, default_prompt_name=self.default_prompt_name)
        return options

    @property
    def vocabulary_file_name(self) -> str:
        """Name of the vocabulary file in a release or a run."""
        return vocabulary_file_name(self.tokenization)

    @property
    def has_words(self) -> bool:
        """Whether `tokenize` splits sentences into words first, as WordPiece does."""
        return self.tokenization in WORDPIECE_TOKENIZATIONS

    @property
    def tokens(self) -> list[str]:
        """Tokens in the order of their ids."""
        return self._tokenizer.tokens

    @property
    def continues_word(self) -> list[bool]:
        """For each token id, whether the token continues a word."""
        return self._tokenizer.continues_word

    @property
    def sentencepiece_model(self) -> SentencePieceModel:
        """The SentencePiece model; only with the tokenization "sentencepiece"."""
        return self._tokenizer.model

    @property
    def special_ids(self) -> list[int]:
        """Ids of the special tokens."""
        ids = [self.padding_id, self.unknown_id, self.start_id, self.end_id, self.mask_id]
        return [i for i in ids if i is not None]

    @property
    def required_ids(self) -> set[int]:
        """Ids that pruning must retain."""
        return self._tokenizer.required_ids

    def character_tokens(self, character: str) -> tuple[str, str]:
        """Return the tokens of one character: at the start of a word and inside of one."""
        return self._tokenizer.character_tokens(character)

    @property
    def resources(self) -> tuple:
        """TensorFlow resources that a SavedModel with this preprocessor has to track."""
        return self._tokenizer.resources

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
        """Tokenize strings [batch].

        Returns:
            int32 token ids: [batch, (words), (tokens of a word)] for WordPiece, and
            [batch, (tokens)] for SentencePiece.
        """
        return self._tokenizer.tokenize(tf.convert_to_tensor(sentences, tf.string))

    def with_default_prompt(self, sentences: tf.Tensor) -> tf.Tensor:
        """Put the default prompt, if there is one, before each sentence, strings of any shape."""
        prompt = choose_prompt(self.prompts, self.default_prompt_name)
        return tf.strings.join([prompt, sentences]) if prompt else sentences

    def word_pieces(self, sentences: tf.Tensor) -> tf.RaggedTensor:
        """Tokenize strings [batch] to int32 [batch, (tokens)], without special tokens."""
        return _merge_words(self.tokenize(sentences))

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
        segments = [_merge_words(segment) for segment in segments]
        return self.pack(segments, self.seq_length if seq_length is None else seq_length)


def _merge_words(pieces: tf.RaggedTensor) -> tf.RaggedTensor:
    """Return token ids [batch, (tokens)], from [batch, (words), (tokens)] or as they are."""
    return pieces.merge_dims(1, -1) if pieces.shape.rank > 2 else pieces
