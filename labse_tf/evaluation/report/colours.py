"""Colours of a report, for the page (light and dark) and the picture (light)."""

from __future__ import annotations

from collections.abc import Sequence

# Behind everything: the page's --ground in report.css.
GROUNDS = ("#ffffff", "#14171a")

# For scripts, (on light, on dark): after Paul Tol's colour-blind-safe "muted" and "light" sets,
# darkened or lightened where they would have less than a contrast of 3 to their ground.
SCRIPTS = (
    ("#0077bb", "#77aadd"),
    ("#cc5500", "#ee8866"),
    ("#117733", "#44bb66"),
    ("#aa4499", "#d98ac9"),
    ("#86862b", "#bbcc33"),
    ("#332288", "#9a8cf0"),
    ("#2b8a7d", "#44bb99"),
    ("#882255", "#e0709e"),
    ("#cc6677", "#ffaabb"),
    ("#774411", "#c29a6b"),
)
OTHER_SCRIPTS = ("#70757c", "#9aa0a8")

# For the curves of precision, recall and F1, and of what else there may be.
CURVES = (SCRIPTS[0], SCRIPTS[1], SCRIPTS[2], SCRIPTS[3], SCRIPTS[4])

# Steps of matplotlib's "viridis" and "RdBu".
SEQUENTIAL = (
    "#440154 #482475 #414487 #355f8d #2a788e #21918c #22a884 #44bf70 #7ad151 #bddf26 #fde725"
).split()
DIVERGING = (
    "#67001f #b2182b #d6604d #f4a582 #fddbc7 #f7f7f7 #d1e5f0 #92c5de #4393c3 #2166ac #053061"
).split()


def mix(steps: Sequence[str], x: float) -> str:
    """The colour at x of a scale, as "#rrggbb".

    Args:
        steps: at least two colours "#rrggbb", equally far from each other.
        x: from 0, the first, to 1, the last; beyond them, these.
    """
    x = min(max(x, 0.0), 1.0) * (len(steps) - 1)
    low = min(int(x), len(steps) - 2)
    sides = [[int(step[i : i + 2], 16) for i in (1, 3, 5)] for step in steps[low : low + 2]]
    return "#" + "".join(f"{round(a + (b - a) * (x - low)):02x}" for a, b in zip(*sides))


def luminance(colour: str) -> float:
    """The relative luminance of "#rrggbb", 0 to 1 (WCAG 2.1)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
