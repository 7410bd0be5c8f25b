"""Growing against full depth, for the same time: python -m training.experiments.growing --help"""

import dataclasses
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from labse_tf import LaBSE
from labse_tf.commands.flags import run_program
from labse_tf.training.config import option
from labse_tf.training.fine_tuning import fine_tune
from training.experiments.comparison import TRAINING, Comparison
from training.experiments.runs import Run
from training.experiments.timing import seconds_per_step

DESCRIPTION = (
    "Translation ranking with an encoder that grows from no layers (`--stages`; progressive "
    "stacking of arXiv 2007.01852, section 2.3, carried to its end), against one of full depth "
    "from the start, for as long: how long a step takes is measured before, at each depth, and the "
    "table has what the runs then took, with start-up. A deep encoder that is not pre-trained "
    "wants a lower learning rate: both are run at several, to be compared each at its best."
)


@dataclasses.dataclass(frozen=True)
class Options:
    """The experiment's own flags."""

    learning_rates: str = option("1e-3,2e-3,4e-3,8e-3", "highest learning rates of both")
    timed_steps: int = option(200, "steps at each depth to measure the time of one with")


def main(arguments: list[str] | None = None) -> None:
    comparison = Comparison(
        arguments,
        "training.experiments.growing",
        DESCRIPTION,
        Options,
        dataclasses.replace(TRAINING, steps=1000, stages="0:40%,1:20%,2:20%,4:20%"),
        fixed=["learning_rate"],
    )
    training, options = comparison.training, comparison.options
    if not training.stages:
        raise ValueError("`stages` is empty, but it is what the experiment is about.")
    rates = [float(rate) for rate in options.learning_rates.split(",")]
    stages = training.parsed_stages
    deepest = stages[-1].num_layers
    depths = {stage.num_layers for stage in stages}
    seconds = comparison.kept(
        "seconds-per-step.json",
        lambda: {str(n): _seconds_per_step(comparison, n, options.timed_steps) for n in depths},
    )
    whole = sum(stage.steps * seconds[str(stage.num_layers)] for stage in stages)
    steps = max(round(whole / seconds[str(deepest)]), training.warmup_steps + 1)
    flat = dataclasses.replace(training, stages="", steps=steps)

    def full_depth(seed: int) -> LaBSE:
        return comparison.new_model(seed, deepest)

    runs = []
    for line, config, start in (
        (f"grown, {training.steps:,} steps", training, None),
        (f"full depth, {steps:,} steps", flat, full_depth),
    ):
        for rate in rates:
            name = f"{line}, learning rate {rate:g}"
            config = dataclasses.replace(config, learning_rate=rate)
            against = "" if start else f"full depth, {steps:,} steps, learning rate {rate:g}"
            runs.append(Run(name, config, start, against=against, line=line, x=rate))
    comparison.compare(runs, x_label="highest learning rate", log_x=True)


def _seconds_per_step(comparison: Comparison, num_layers: int, steps: int) -> float:
    """Of ranking at a depth."""

    def train(count: int, workdir: str) -> None:
        model = comparison.new_model(comparison.training.seed, num_layers)
        config = dataclasses.replace(
            comparison.training, stages="", steps=count, warmup_steps=0, checkpoint_every=steps
        )
        fine_tune(model, comparison.pairs, config, workdir)

    return seconds_per_step(train, steps)


if __name__ == "__main__":
    run_program(main)
