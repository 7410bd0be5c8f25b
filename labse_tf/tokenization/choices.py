"""The tokenizations that a Preprocessor knows, by name."""

from __future__ import annotations

GOOGLE, HUGGING_FACE, SENTENCEPIECE = "google", "hugging-face", "sentencepiece"
WORDPIECE_TOKENIZATIONS = (GOOGLE, HUGGING_FACE)
TOKENIZATIONS = (*WORDPIECE_TOKENIZATIONS, SENTENCEPIECE)
WORDPIECE_FILE, SENTENCEPIECE_FILE = "vocab.txt", "sentencepiece.bpe.model"
GOOGLE_MAX_WORD_BYTES = 100  # of Google's models, and of the releases before there was a choice
# Of releases and runs that do not say, which are older than the choice.
BEFORE_THE_CHOICE = {
    "tokenization": GOOGLE,
    "max_word_bytes": GOOGLE_MAX_WORD_BYTES,
    "max_word_characters": None,
}


def vocabulary_file_name(tokenization: str) -> str:
    """Return the name under which a release or a run stores the vocabulary."""
    return SENTENCEPIECE_FILE if tokenization == SENTENCEPIECE else WORDPIECE_FILE
