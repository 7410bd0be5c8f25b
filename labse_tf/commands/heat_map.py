"""A table of cosines as a picture: an SVG file, which a browser sets in whatever script it has."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from html import escape

import numpy as np

LARGEST = 100  # sentences a side: more cannot be read
_CELL, _MARGIN, _LETTER = 34, 10, 7.5  # pixels
_WIDEST, _TOOLTIP = 60, 400  # of a sentence beside the cells and in a tooltip, in terminal columns
# Characters that XML 1.0 does not allow, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def heat_map(cosines: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> str:
    """The picture, as the text of an SVG file.

    Args:
        cosines: [rows, columns]; the colours go from 0, or the least if that is less, to 1.
        rows: The sentences beside the rows. Long sentences are truncated, and characters that XML
            does not allow are replaced by U+FFFD.
        columns: The sentences above the columns.

    Raises:
        ValueError: a side has more than 100 sentences, or none.
    """
    if not (1 <= len(rows) <= LARGEST and 1 <= len(columns) <= LARGEST):
        raise ValueError(
            f"A heat map is of 1 to {LARGEST} sentences a side, not of {len(rows):,} and "
            f"{len(columns):,}."
        )
    # Not above: what is beside it there imports TensorFlow, which takes seconds.
    from labse_tf.evaluation.report.colours import SEQUENTIAL, luminance, mix

    labels = [[_truncated(text, _WIDEST) for text in side] for side in (rows, columns)]
    tooltips = [[escape(_truncated(text, _TOOLTIP)) for text in side] for side in (rows, columns)]
    left, top = (_MARGIN + _LETTER * max(map(_columns, side)) for side in labels)
    low = min(0.0, float(cosines.min()))
    cells, texts = [], []
    for y, row in enumerate(cosines):
        for x, cosine in enumerate(row):
            colour = mix(SEQUENTIAL, (float(cosine) - low) / (1 - low))
            ink = "#ffffff" if luminance(colour) < 0.2 else "#000000"
            corner = left + x * _CELL, top + y * _CELL
            cells.append(
                f'<rect x="{corner[0]:g}" y="{corner[1]:g}" width="{_CELL}" height="{_CELL}" '
                f'fill="{colour}"><title>{cosine:.4f}: {tooltips[0][y]} / {tooltips[1][x]}'
                "</title></rect>"
            )
            texts.append(
                f'<text x="{corner[0] + _CELL / 2:g}" y="{corner[1] + _CELL / 2:g}" dy=".35em" '
                f'fill="{ink}" text-anchor="middle" font-size="10">{_signed(cosine)}</text>'
            )
    for y, sentence in enumerate(labels[0]):
        texts.append(
            f'<text x="{left - 6:g}" y="{top + (y + 0.5) * _CELL:g}" dy=".35em" '
            f'text-anchor="end">{escape(sentence)}</text>'
        )
    for x, sentence in enumerate(labels[1]):
        texts.append(
            f'<text transform="translate({left + (x + 0.5) * _CELL:g},{top - 6:g})rotate(-90)" '
            f'dy=".35em">{escape(sentence)}</text>'
        )
    width, height = (
        side + _CELL * count + _MARGIN for side, count in ((left, len(columns)), (top, len(rows)))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" font-family="sans-serif" font-size="13">'
        f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(cells)}{"".join(texts)}</svg>\n'
    )


def _columns(text: str) -> int:
    """Return the width of a text; East Asian characters are twice as wide as others."""
    return sum(map(_width, text))


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 1 + (unicodedata.east_asian_width(character) in "WF")


def _truncated(text: str, widest: int) -> str:
    """Return a text for XML, of at most so many columns; … stands for what is left out."""
    used = end = 0
    for i, character in enumerate(text):
        used += _width(character)
        if used <= widest - 1:
            end = i + 1
        if used > widest:
            text = text[:end] + "…"
            break
    return _NOT_XML.sub("\ufffd", text)


def _signed(cosine: float) -> str:
    """Two digits with a real minus sign, which zero does not have."""
    return f"{round(float(cosine), 2) + 0.0:.2f}".replace("-", "−")
