"""The report of the translation experiment: results.json, table.md, plot.png."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labse_tf.evaluation.report.colours import CURVES
from training.experiments.report import write_files
from training.experiments.translation.scoring import FROM, TO
from training.experiments.translation.ways import MARGIN, TRUE

_DIRECTIONS = (TO, FROM)


def write_report(results: Mapping[str, Any], folder: str) -> str:
    """Writes all three files, or none; returns the table.

    Args:
        results: see `Experiment`.
        folder: is replaced if it is there.
    """
    return write_files(results, render_table(results), write_plot, folder)


def render_table(results: Mapping[str, Any]) -> str:
    """The results as Markdown; nothing in it is from elsewhere."""
    lines = []
    for language, found in results["languages"].items():
        counts, scores = found["counts"], found["scores"]
        lines += [
            f"**{language}**: {counts['sources']:,} and {counts['targets']:,} sentences, "
            f"{counts['true']:,} true pairs among them; {counts['test']:,} test pairs.",
            "",
            "| trained on pairs by | pairs | threshold | precision | recall "
            "| BLEU to English | of true | BLEU from English | of true | chrF to, from |",
            "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        ]
        true = next(scores[run["name"]] for run in found["runs"] if run["way"] == TRUE)
        for run in found["runs"]:
            own = scores[run["name"]]
            cells = [
                run["way"] if run["way"] == TRUE else f"{run['way']}, best {run['amount']:g}",
                f"{run['pairs']:,}",
                "" if run["threshold"] is None else f"{run['threshold']:.3f}",
                f"{run['precision']:.1%}",
                f"{run['recall']:.1%}",
            ]
            for direction in _DIRECTIONS:
                bleu, interval = own[direction]["bleu"], own[direction]["interval"]
                of = bleu / true[direction]["bleu"] if true[direction]["bleu"] else float("nan")
                cells += [f"{bleu:.1f} ± {interval:.1f}", f"{of:.2f}"]
            cells.append(", ".join(f"{own[direction]['chrf']:.1f}" for direction in _DIRECTIONS))
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join([*lines, *_facts(results)])


def _facts(results: Mapping[str, Any]) -> list[str]:
    config = results["translation"]
    scores = [own for found in results["languages"].values() for own in found["scores"].values()]
    devices = sorted({own["device"] for own in scores})
    minutes = sum(own["seconds"] for own in scores) / 60
    return [
        "- Best: so many of the best pairs, as a share of the number of true pairs; precision and "
        "recall against those, so that another right translation counts as wrong.",
        "- BLEU: sacrebleu, one reference; ± half of the 95% interval over resampled test "
        "sentences. One training a row, of the same steps and the same seed.",
        f"- One model a row, for both directions: {config['num_layers']} + "
        f"{config['num_layers']} layers of {config['hidden_size']}, {config['steps']:,} steps of "
        f"{config['batch_size']} sentences, beam {config['beam_size']}.",
        f"- Translation took {minutes:.0f} minutes in all, on: {', '.join(devices)}.",
        f"- `{results['command']}`",
    ]


def write_plot(results: Mapping[str, Any], path: str) -> None:
    """Above, precision against recall of each way; below, BLEU against the number of pairs."""
    from matplotlib.figure import Figure

    languages = results["languages"]
    figure = Figure(figsize=(5 * len(languages), 8), layout="constrained", facecolor="white")
    axes = figure.subplots(2, len(languages), squeeze=False)
    for column, (language, found) in enumerate(languages.items()):
        colours = {way: colour[0] for way, colour in zip([*found["curves"], TRUE], CURVES)}
        upper, lower = axes[0, column], axes[1, column]
        for way, curve in found["curves"].items():
            precision, recall = zip(*curve)
            upper.plot(
                [100 * x for x in recall], [100 * x for x in precision],
                color=colours[way], label=way,
            )  # fmt: skip
        upper.set(
            title=language, xlabel="recall, %", ylabel="precision, %", xlim=(0, 101), ylim=(0, 101)
        )
        upper.legend(frameon=False)
        for direction, marker in zip(_DIRECTIONS, "o^"):
            for way in colours:
                runs = [run for run in found["runs"] if run["way"] == way]
                lower.plot(
                    [run["pairs"] / found["counts"]["true"] for run in runs],
                    [found["scores"][run["name"]][direction]["bleu"] for run in runs],
                    marker=marker, color=colours[way], linestyle="-" if way == MARGIN else "none",
                    label=f"{way}, {direction}",
                )  # fmt: skip
        lower.set(xlabel="pairs, as a share of the true ones", ylabel="BLEU", ylim=(0, None))
        lower.legend(frameon=False, fontsize="small")
    for one in axes.flat:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
