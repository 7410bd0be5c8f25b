"""A table of cosines as a picture: an SVG file, which a browser sets in whatever script it has."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from html import escape

import numpy as np

LARGEST = 100  # sentences a side: more cannot be read
_CELL, _MARGIN, _LETTER, _WIDEST = 34, 10, 7.5, 60  # pixels; _WIDEST in columns of a terminal


def heat_map(cosines: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> str:
    """The picture, as the text of an SVG file.

    Args:
        cosines: [rows, columns]; the colours go from 0, or the least if that is less, to 1.
        rows: the sentences beside the rows; long ones are cut.
        columns: those above the columns.

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

    left, top = (
        _MARGIN + _LETTER * min(max(map(_columns, texts)), _WIDEST) for texts in (rows, columns)
    )
    low = min(0.0, float(cosines.min()))
    cells, texts = [], []
    for y, row in enumerate(cosines):
        for x, cosine in enumerate(row):
            colour = mix(SEQUENTIAL, (float(cosine) - low) / (1 - low))
            ink = "#ffffff" if luminance(colour) < 0.2 else "#000000"
            corner = left + x * _CELL, top + y * _CELL
            cells.append(
                f'<rect x="{corner[0]:g}" y="{corner[1]:g}" width="{_CELL}" height="{_CELL}" '
                f'fill="{colour}"><title>{cosine:.4f}: {escape(rows[y])} / {escape(columns[x])}'
                "</title></rect>"
            )
            texts.append(
                f'<text x="{corner[0] + _CELL / 2:g}" y="{corner[1] + _CELL / 2:g}" dy=".35em" '
                f'fill="{ink}" text-anchor="middle" font-size="10">{_signed(cosine)}</text>'
            )
    for y, sentence in enumerate(rows):
        texts.append(
            f'<text x="{left - 6:g}" y="{top + (y + 0.5) * _CELL:g}" dy=".35em" '
            f'text-anchor="end">{escape(_cut(sentence))}</text>'
        )
    for x, sentence in enumerate(columns):
        texts.append(
            f'<text transform="translate({left + (x + 0.5) * _CELL:g},{top - 6:g})rotate(-90)" '
            f'dy=".35em">{escape(_cut(sentence))}</text>'
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
    """How wide it is; East Asian characters are twice as wide as others."""
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def _cut(text: str) -> str:
    """As much of it as has room, and … if that is not all."""
    if _columns(text) <= _WIDEST:
        return text
    while _columns(text) > _WIDEST - 1:
        text = text[:-1]
    return text + "…"


def _signed(cosine: float) -> str:
    """Two digits with a real minus sign, which zero does not have."""
    return f"{round(float(cosine), 2) + 0.0:.2f}".replace("-", "−")
