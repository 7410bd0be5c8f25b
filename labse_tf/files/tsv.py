"""Tab-separated values: text that is one field."""

from __future__ import annotations

SEPARATORS = "\t\n\r"  # of fields and lines
_TO_SPACES = str.maketrans(SEPARATORS, " " * len(SEPARATORS))


def to_field(text: str) -> str:
    """Return a text with spaces for tabs and line breaks, so that it is one field of a line."""
    return text.translate(_TO_SPACES)
