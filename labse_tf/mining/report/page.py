"""The report of a run as a page, to choose a threshold by eye."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from labse_tf.evaluation.report.charts import curve, curve_legend, typeset
from labse_tf.evaluation.report.histogram import histogram
from labse_tf.evaluation.report.page import render_page
from labse_tf.mining.options import MiningOptions
from labse_tf.mining.report.describe import NO_PAIRS, described
from labse_tf.mining.report.figures import Band, Figures

TITLE = "Mined pairs"


def render_html(
    figures: Figures, facts: dict[str, Any], options: MiningOptions, command: str
) -> str:
    """The page; for the arguments see `write_report`."""
    said = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in described(facts, options)
    )
    code = f"<pre><code>{escape(command)}</code></pre>" if command else ""
    header = f'<div class="models"><article class="model"><dl>{said}</dl>{code}</article></div>\n'
    if not figures.thresholds:
        return render_page(TITLE, header, f'<p class="note">{escape(NO_PAIRS)}</p>\n')
    main = (
        f'<section id="scores"><h2>Scores</h2>\n{_charts(figures, facts)}</section>\n'
        f'<section id="thresholds"><h2>Thresholds</h2>\n{_thresholds(figures)}</section>\n'
        f'<section id="samples"><h2>Samples</h2>\n<p class="note">Pairs drawn at random from each '
        "band of score. Choose as --min-score the least score whose pairs you would keep; what is "
        "far above all others is often boilerplate (--max-score).</p>\n"
        f"{''.join(map(_band, figures.bands))}</section>\n"
    )
    return render_page(TITLE, header, main)


def _charts(figures: Figures, facts: dict[str, Any]) -> str:
    best = facts.get("gold", {}).get("best threshold")
    bars = histogram("Pairs of each score", "score", figures.edges, figures.counts)
    parts = [curve("Share of the pairs that a threshold keeps, in percent", [figures.kept],
                   ["share kept"], [None])]  # fmt: skip
    legend = ""
    if figures.curve is not None:
        names = [name for name in figures.curve if name != "threshold"]
        parts.append(curve("Against the pairs that are right, in percent", [figures.curve],
                           names, [best]))  # fmt: skip
        legend = curve_legend(names, [0], False)
    return f'{bars}<div class="curves">{"".join(parts)}</div>{legend}\n'


def _thresholds(figures: Figures) -> str:
    measured = list(figures.thresholds[0].measured)
    rows = [
        [
            f"{row.score:.4f}",
            f"{row.pairs:,}",
            f"{100 * row.share:.1f}",
            *(f"{100 * row.measured[name]:.2f}" for name in measured),
        ]
        for row in figures.thresholds
    ]
    return _table(["threshold", "pairs", "share, %", *(f"{name}, %" for name in measured)], rows)


def _band(band: Band) -> str:
    rows = [
        [f"{score:.4f}", f"{cosine:.4f}", source, target]
        for score, cosine, source, target in band.samples
    ]
    table = _table(["score", "cosine", "source", "target"], rows, "box pairs")
    noun = "pair" if band.pairs == 1 else "pairs"
    heading = typeset(f"{band.low:.4f} to {band.high:.4f}: {band.pairs:,} {noun}")
    return f"<h3>{heading}</h3>\n{table}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], classes: str = "box") -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        # Sentences of any language; each has its own direction of writing.
        return "".join(f'<{tag} dir="auto">{escape(cell)}</{tag}>' for cell in row)

    head = f"<thead><tr>{cells(heads, 'th')}</tr></thead>"
    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f'<div class="{classes}"><table>{head}<tbody>{body}</tbody></table></div>\n'
