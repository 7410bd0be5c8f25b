"""The report of a run as a table in Markdown."""

from __future__ import annotations

from typing import Any

from labse_tf.mining.options import MiningOptions
from labse_tf.mining.report.describe import NO_PAIRS, described
from labse_tf.mining.report.figures import Figures


def render_markdown(
    figures: Figures, facts: dict[str, Any], options: MiningOptions, command: str
) -> str:
    """What was found, and what each threshold keeps; for the arguments see `write_report`."""
    lines = ["# Mined pairs", ""]
    lines += [f"- {name}: {value}" for name, value in described(facts, options)]
    if command:
        lines += ["", f"    {command}"]
    if not figures.thresholds:
        return "\n".join([*lines, "", NO_PAIRS]) + "\n"
    measured = list(figures.thresholds[0].measured)
    heads = ["threshold", "pairs", "share", *measured]
    lines += ["", _row(heads), _row(["---:"] * len(heads))]
    for row in figures.thresholds:
        percents = [f"{row.measured[name]:.2%}" for name in measured]
        lines.append(_row([f"{row.score:.4f}", f"{row.pairs:,}", f"{row.share:.1%}", *percents]))
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
