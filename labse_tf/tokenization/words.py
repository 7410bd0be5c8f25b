"""How text is divided into words: as Google's models do it, and as Hugging Face's."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_text as text
from tensorflow_text.python.ops.bert_tokenizer import BasicTokenizer

from labse_tf.tokenization.character_classes import CHINESE, MARKS, PUNCTUATION, REMOVED, SPACES
from labse_tf.tokenization.choices import GOOGLE

_IN_NO_VOCABULARY = "\n"  # a token holds no line end


def split_words(sentences: tf.Tensor, tokenization: str, lower_case: bool) -> tf.RaggedTensor:
    """string [batch] -> string [batch, (words)], in UTF-8.

    Args:
        sentences: in UTF-8.
        tokenization: "google": as `tensorflow_text.BertTokenizer`, of which this is the first half;
            "hugging-face": as BertNormalizer and BertPreTokenizer of `tokenizers`.
        lower_case: whether to strip accents and fold case: to Google by NFKC_Casefold, to Hugging
            Face by the simple rules of Unicode, a letter at a time.
    """
    if tokenization == GOOGLE:
        return BasicTokenizer(lower_case).tokenize(sentences)
    return _hugging_face_words(sentences, lower_case)


def _hugging_face_words(sentences: tf.Tensor, lower_case: bool) -> tf.RaggedTensor:
    """Unlike Google's: there white space other than ASCII is part of a word, control and format
    characters are spaces, private use ones are part of a word, more characters are punctuation."""
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


def without_long_words(words: tf.RaggedTensor, most: int | None) -> tf.RaggedTensor:
    """string [batch, (words)], those of more than `most` characters replaced by one of no piece."""
    if most is None:
        return words
    lengths = tf.strings.length(words.values, unit="UTF8_CHAR")
    return words.with_values(tf.where(lengths > most, _IN_NO_VOCABULARY, words.values))
