"""The two tokenizations, by name, and what was theirs before there was a choice."""

from __future__ import annotations

GOOGLE, HUGGING_FACE = "google", "hugging-face"
TOKENIZATIONS = (GOOGLE, HUGGING_FACE)
GOOGLE_MAX_WORD_BYTES = 100  # of Google's models, and of the releases before there was a choice
# Of releases and runs that do not say, which are older than the choice.
BEFORE_THE_CHOICE = {
    "tokenization": GOOGLE,
    "max_word_bytes": GOOGLE_MAX_WORD_BYTES,
    "max_word_characters": None,
}
