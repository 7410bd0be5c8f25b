"""Words as Hugging Face's BERT tokenizers find them, in TensorFlow ops."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_text as text

from labse_tf.tokenization.character_classes import CHINESE, MARKS, PUNCTUATION, REMOVED, SPACES

NO_LIMIT = 2**31 - 1  # bytes of a word, where a limit has to be given
_IN_NO_VOCABULARY = "\n"  # a token holds no line end


def split_words(sentences: tf.Tensor, lower_case: bool) -> tf.RaggedTensor:
    """string [batch] -> string [batch, (words)], as `tokenizers` does it for a BERT model.

    Its BertNormalizer and BertPreTokenizer in one. `tensorflow_text.BertTokenizer` differs in its
    characters: there white space other than ASCII is part of a word, control and format characters
    are spaces, private use ones are part of a word, and more characters are punctuation. All ops
    are among those that TensorFlow Serving links.

    Args:
        sentences: in UTF-8.
        lower_case: whether to strip accents and fold case: by the simple rules of Unicode, a letter
            at a time, not by NFKC_Casefold.
    """
    sentences = tf.strings.regex_replace(sentences, REMOVED, "")
    if lower_case:
        # A word each before they are decomposed: what some become is no longer of that class.
        sentences = tf.strings.regex_replace(sentences, CHINESE, r" \0 ")
        sentences = text.normalize_utf8(sentences, "NFD")
        sentences = tf.strings.regex_replace(sentences, MARKS, "")
        # By itself, so that it does not become the letter that it is at the end of a word.
        sentences = tf.strings.regex_replace(sentences, "Σ", "σ")
        sentences = tf.strings.lower(sentences, encoding="utf-8")
    words_of_one = f"{PUNCTUATION}|{CHINESE}"
    return text.regex_split(sentences, f"{SPACES}+|{words_of_one}", words_of_one)


class HuggingFaceTokenizer:
    """What `tensorflow_text.BertTokenizer` is for Google's models: words, then their pieces.

    Args:
        table: token -> id, int64.
        lower_case: whether to strip accents and fold case.
        max_word_characters: a longer word is [UNK]; None: none is.
        longest_token: of the table, in characters; pieces are searched up to this length.
    """

    def __init__(
        self,
        table: tf.lookup.StaticHashTable,
        lower_case: bool,
        max_word_characters: int | None,
        longest_token: int,
    ):
        self._lower_case, self._max_word_characters = lower_case, max_word_characters
        self._word_pieces = text.WordpieceTokenizer(
            table, max_bytes_per_word=NO_LIMIT, max_chars_per_token=longest_token
        )

    def tokenize(self, sentences: tf.Tensor) -> tf.RaggedTensor:
        """string [batch] -> ids, int64 [batch, (words), (pieces of a word)]."""
        words = split_words(sentences, self._lower_case)
        if self._max_word_characters is not None:
            lengths = tf.strings.length(words.values, unit="UTF8_CHAR")
            too_long = lengths > self._max_word_characters
            words = words.with_values(tf.where(too_long, _IN_NO_VOCABULARY, words.values))
        return self._word_pieces.tokenize(words)
