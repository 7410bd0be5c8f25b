"""The report of a comparison: results.json, table.md, plot.png."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from labse_tf.evaluation.report.colours import CURVES
from labse_tf.extras import install_hint
from labse_tf.files.atomic import atomic_directory

_SECONDS = ("seconds", "start_seconds")


def check_plotting() -> None:
    """Raises ImportError if matplotlib is not installed: before hours of training, not after."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ImportError(f"A plot needs matplotlib: {install_hint('evaluation')}") from error


def write_report(results: Mapping[str, Any], folder: str) -> str:
    """Writes all three files, or none; returns the table.

    Args:
        results: see `Comparison.compare`.
        folder: is replaced if it is there.
    """
    return write_files(results, render_table(results), write_plot, folder)


def write_files(
    results: Mapping[str, Any],
    table: str,
    plot: Callable[[Mapping[str, Any], str], None],
    folder: str,
) -> str:
    """Writes results.json, table.md and plot.png, or none of them; returns the table.

    Args:
        results: in types that JSON has.
        table: of them, Markdown.
        plot: draws them to a path.
        folder: is replaced if it is there.
    """
    with atomic_directory(folder) as unfinished:
        with open(os.path.join(unfinished, "results.json"), "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1, ensure_ascii=False, allow_nan=False)
        with open(os.path.join(unfinished, "table.md"), "w", encoding="utf-8") as file:
            file.write(table + "\n")
        plot(results, os.path.join(unfinished, "plot.png"))
    return table


def render_table(results: Mapping[str, Any]) -> str:
    """The results as Markdown; nothing in it is from elsewhere."""
    runs = results["runs"]
    of_name = {run["name"]: accuracies(run) for run in runs}
    lines = [
        results["description"],
        "",
        "| run | accuracy, % | difference | from | training, s |",
        "|---|---:|---:|---|---:|",
    ]
    for run in runs:
        values, against = of_name[run["name"]], run["against"]
        difference = ""
        if against:
            pairs = zip(values, of_name[against], strict=True)
            difference = _mean([a - b for a, b in pairs], "+.2f")
        lines.append(
            f"| {run['name']} | {_mean(values, '.2f')} | {difference} | {against} "
            f"| {_seconds(run)} |"
        )
    lines += ["", "| accuracy, % | " + " | ".join(results["languages"]) + " |"]
    lines.append("|---|" + "---:|" * len(results["languages"]))
    for run in runs:
        means = [
            statistics.mean(100 * m["languages"][code] for m in run["measured"])
            for code in results["languages"]
        ]
        lines.append(f"| {run['name']} | " + " | ".join(f"{x:.1f}" for x in means) + " |")
    return "\n".join([*lines, "", *_facts(results)])


def accuracies(run: Mapping[str, Any]) -> list[float]:
    """A run's accuracies in percent, one a seed."""
    return [100 * measured["accuracy"] for measured in run["measured"]]


def _mean(values: Sequence[float], form: str) -> str:
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{form}}{spread}"


def _seconds(run: Mapping[str, Any]) -> str:
    whole = [m["seconds"] for m in run["measured"] if m["seconds"] is not None]
    return f"{statistics.median(whole):,.0f}" if whole else "interrupted"


def _facts(results: Mapping[str, Any]) -> list[str]:
    count, training = len(results["seeds"]), results["training"]
    last = max((m for run in results["runs"] for m in run["measured"]), key=lambda m: m["date"])
    first = min(m["date"] for run in results["runs"] for m in run["measured"])
    pairs, encoder, system = results["pairs"], results["encoder"], last["system"]
    versions = (f"{k} {v}" for k, v in system.items() if k not in ("cpu", "cores", "python"))
    spread = "one seed, so nothing is known of the spread"
    if count > 1:
        spread = f"mean ± standard deviation over {count} seeds; differences are of the same seed"
    seconds = [m[key] for run in results["runs"] for m in run["measured"] for key in _SECONDS]
    whole = sum(filter(None, seconds)) / 3600
    return [
        f"- {len(results['runs']) * count} trainings, {'' if None not in seconds else 'over '}"
        f"{whole:.1f} hours in all, with what they started from.",
        f"- Accuracy: Tatoeba, both directions, mean over {len(pairs)} languages; {spread}.",
        f"- Pairs: {sum(pairs.values()):,} of {len(pairs)} languages ("
        + ", ".join(f"{code} {n:,}" for code, n in pairs.items())
        + ").",
        f"- Training: {training['steps']:,} steps of {training['batch_size']:,} pairs at most "
        f"{results['data']['seq_length']} tokens long, learning rate "
        f"{training['learning_rate']:g}, scale {training['scale']:g}, "
        f"margin {training['margin']:g}, unless the run says otherwise; the median time of those "
        "that were not interrupted.",
        f"- Encoder: layers: {encoder['num_layers']}, width {encoder['hidden_size']}"
        + (f", stages {training['stages']}" if training["stages"] else "")
        + f", at most {encoder['vocab_size']:,} word pieces, {encoder['pooling']} pooling; all "
        "runs of a seed begin with the same random weights, or with what was trained from them.",
        f"- Measured from {first} to {last['date']} on {system['cpu']}, {system['cores']} cores; "
        f"Python {system['python']}, {', '.join(versions)}.",
        f"- `{results['command']}`",
    ]


def write_plot(results: Mapping[str, Any], path: str) -> None:
    """Lines over `x`, or one row a run; every seed is a dot."""
    from matplotlib.figure import Figure

    runs = results["runs"]
    over_x = all(run["x"] is not None for run in runs)
    height = 4 if over_x else 1.6 + 0.5 * len(runs)
    figure = Figure(figsize=(7, height), layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    label = f"Tatoeba accuracy, %, mean of {len(results['languages'])} languages"
    if over_x:
        for name, (colour, _) in zip(dict.fromkeys(run["line"] for run in runs), CURVES):
            line = sorted((run for run in runs if run["line"] == name), key=lambda run: run["x"])
            means = [statistics.mean(accuracies(run)) for run in line]
            axes.plot([run["x"] for run in line], means, color=colour, label=name or None)
            for run in line:
                values = accuracies(run)
                axes.plot([run["x"]] * len(values), values, "o", color=colour, markersize=4)
        if any(run["line"] for run in runs):
            axes.legend(frameon=False)
        if results["log_x"]:
            axes.set_xscale("log")
            places = sorted({run["x"] for run in runs})
            axes.set_xticks(places, [f"{x:g}" for x in places])
            axes.minorticks_off()
        axes.set(xlabel=results["x_label"], ylabel=label)
    else:
        for place, run in enumerate(runs):
            values = accuracies(run)
            axes.plot(values, [place] * len(values), "o", color=CURVES[0][0], markersize=4)
            axes.plot(statistics.mean(values), place, "|", color="black", markersize=22)
        axes.set_yticks(range(len(runs)), [run["name"] for run in runs], parse_math=False)
        axes.set(xlabel=label, ylim=(len(runs) - 0.5, -0.5))
    figure.savefig(path, format="png", dpi=120)
