"""A histogram as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from labse_tf.evaluation.report.charts import typeset

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 700, 260, 56, 36, 10, 12


def histogram(title: str, abscissa: str, edges: Sequence[float], counts: Sequence[int]) -> str:
    """Bars from 0 to the largest count, as a figure; what a bar is, is told where it is pointed at.

    Args:
        title: of the figure.
        abscissa: what the edges are.
        edges: ascending, one more than counts.
        counts: of what lies between two edges.
    """
    low, span = edges[0], (edges[-1] - edges[0]) or 1.0
    step = _round_step(max(*counts, 4) / 4)
    most = 4 * step

    def x(value: float) -> float:
        return _LEFT + (value - low) / span * (_WIDTH - _LEFT - _RIGHT)

    def y(count: float) -> float:
        return _HEIGHT - _BOTTOM - count / most * (_HEIGHT - _BOTTOM - _TOP)

    marks = []
    for i in range(5):
        count = step * i
        marks.append(f'<path class="rule" d="M{_LEFT},{y(count):.1f}H{_WIDTH - _RIGHT}"/>')
        marks.append(
            f'<text x="{_LEFT - 6}" y="{y(count):.1f}" dy=".35em" text-anchor="end">'
            f"{count:,}</text>"
        )
    for i in range(11):
        value = low + span * i / 10
        text = typeset(f"{value:.2f}" if span > 0.1 else f"{value:.4f}")
        marks.append(
            f'<text x="{x(value):.1f}" y="{_HEIGHT - _BOTTOM + 15}" text-anchor="middle">{text}'
            "</text>"
        )
    for left, right, count in zip(edges, edges[1:], counts):
        said = typeset(f"{left:.4f} to {right:.4f}: {count:,}")
        marks.append(
            f'<rect class="c0" x="{x(left):.2f}" y="{y(count):.2f}" '
            f'width="{max(x(right) - x(left) - 0.5, 0.5):.2f}" '
            f'height="{_HEIGHT - _BOTTOM - y(count):.2f}"><title>{said}</title></rect>'
        )
    return (
        f'<figure class="curve"><figcaption>{escape(title)}</figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">{"".join(marks)}'
        f'<text x="{(_WIDTH + _LEFT) / 2}" y="{_HEIGHT - 4}" text-anchor="middle">'
        f"{escape(abscissa)}</text></svg></figure>"
    )


def _round_step(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50... that is not below `least`."""
    power = 10 ** max(0, math.floor(math.log10(least)))
    return next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= least)
