"""Growing against full depth, for the same time: python -m training.experiments.growing --help"""

import dataclasses
import json
import os
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from labse_tf import LaBSE
from labse_tf.commands.flags import run_program
from labse_tf.evaluation.results import write_json
from labse_tf.training.config import option
from labse_tf.training.fine_tuning import fine_tune
from training.experiments.comparison import TRAINING, Comparison
from training.experiments.runs import Run

DESCRIPTION = (
    "Translation ranking with an encoder that grows layer by layer (`--stages`; progressive "
    "stacking of arXiv 2007.01852, section 2.3, carried to no layers), against one of full depth "
    "from the start: for as many steps, and for as long. How long a step takes is measured before, "
    "at each depth; the table has what the runs then took, with start-up."
)


@dataclasses.dataclass(frozen=True)
class Options:
    """The experiment's own flags."""

    timed_steps: int = option(40, "steps at each depth to measure the time of one with")


def main(arguments: list[str] | None = None) -> None:
    comparison = Comparison(
        arguments,
        "training.experiments.growing",
        DESCRIPTION,
        Options,
        dataclasses.replace(TRAINING, stages="0:50%,1:20%,2:30%"),
    )
    training, options = comparison.training, comparison.options
    if not training.stages:
        raise ValueError("`stages` is empty, but it is what the experiment is about.")
    if options.timed_steps < 4:
        raise ValueError(f"`timed_steps` (={options.timed_steps}) must be at least 4.")
    stages = training.parsed_stages
    deepest = stages[-1].num_layers
    path = os.path.join(comparison.workdir, "seconds-per-step.json")
    if not os.path.exists(path):
        depths = [stage.num_layers for stage in stages]
        seconds = {str(n): _seconds_per_step(comparison, n, options.timed_steps) for n in depths}
        write_json(seconds, path)
    with open(path, encoding="utf-8") as file:
        seconds = json.load(file)
    whole = sum(stage.steps * seconds[str(stage.num_layers)] for stage in stages)
    steps = max(round(whole / seconds[str(deepest)]), training.warmup_steps + 1)

    def full_depth(seed: int) -> LaBSE:
        return comparison.new_model(seed, deepest)

    flat = dataclasses.replace(training, stages="")
    longer = dataclasses.replace(flat, steps=steps)
    runs = [
        Run(f"grown, {training.steps:,} steps", training),
        Run(f"full depth as long, {steps:,} steps", longer, full_depth),
        Run(f"full depth, {training.steps:,} steps", flat, full_depth),
    ]
    comparison.compare(runs, against=runs[1].name)


def _seconds_per_step(comparison: Comparison, num_layers: int, steps: int) -> float:
    """Of a depth: what a run takes longer than one of a quarter of the steps."""
    took = []
    for count in (steps // 4, steps):
        model = comparison.new_model(comparison.training.seed, num_layers)
        config = dataclasses.replace(
            comparison.training, stages="", steps=count, warmup_steps=0, checkpoint_every=steps
        )
        with tempfile.TemporaryDirectory() as folder:
            begun = time.monotonic()
            fine_tune(model, comparison.pairs, config, os.path.join(folder, "run"))
            took.append(time.monotonic() - begun)
    seconds = (took[1] - took[0]) / (steps - steps // 4)
    if seconds <= 0:
        raise ValueError(
            f"{steps} steps took no longer than {steps // 4}: {took} s. Raise --timed-steps."
        )
    return seconds


if __name__ == "__main__":
    run_program(main)
