"""Hard negatives, random ones, or none: python -m training.experiments.hard_negatives --help"""

import dataclasses
import functools
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from labse_tf import LaBSE
from labse_tf.commands.flags import run_program
from labse_tf.training.config import option
from labse_tf.training.fine_tuning import fine_tune
from training.experiments.comparison import TRAINING, Comparison
from training.experiments.hard_negative_mining import (
    Pairs,
    add_negatives,
    hard_negatives,
    random_negatives,
)
from training.experiments.runs import Run

DESCRIPTION = (
    "A second stage of translation ranking with hard negatives, and without (arXiv 2007.01852 "
    "tried them and found no gain; see its supplement). A first stage, trained without any, finds "
    "for each source the nearest English sentences of its language's file that are no translations "
    "of it there; to tell what is hard about them from what is more of them, as many are drawn at "
    "random. All runs go on from the first stage's weights, on the same pairs for the same steps; "
    "each hard negative makes a step embed half as much again."
)


@dataclasses.dataclass(frozen=True)
class Options:
    """The experiment's own flags."""

    counts: str = option("1,3", "hard negatives of a pair")
    first_steps: int = option(TRAINING.steps, "steps of the first stage")


def main(arguments: list[str] | None = None) -> None:
    comparison = Comparison(
        arguments,
        "training.experiments.hard_negatives",
        DESCRIPTION,
        Options,
        dataclasses.replace(TRAINING, steps=300, learning_rate=TRAINING.learning_rate / 2),
        fixed=["hard_negatives", "stages"],
    )
    training, options = comparison.training, comparison.options
    counts = [int(count) for count in options.counts.split(",")]
    if min(counts) < 1:
        raise ValueError(f"`counts` (={options.counts!r}) must be at least 1 each.")
    first = dataclasses.replace(
        training, steps=options.first_steps, learning_rate=TRAINING.learning_rate
    )

    def first_stage(seed: int) -> LaBSE:
        folder = os.path.join(comparison.workdir, "first-stage", f"seed-{seed}")
        config = dataclasses.replace(first, seed=seed)
        return fine_tune(comparison.new_model(seed), comparison.pairs, config, folder)

    @functools.cache
    def model(seed: int) -> LaBSE:
        return first_stage(seed)

    def chosen(way: str, count: int, seed: int) -> list[str]:
        def choose(pairs: Pairs, most: int) -> list[list[str]]:
            if way == "random":
                return random_negatives(pairs, seed, most)
            return hard_negatives(pairs, model(seed), most)

        folder = os.path.join(comparison.workdir, way, f"seed-{seed}")
        add_negatives(comparison.pairs, folder, counts, choose)
        names = map(os.path.basename, comparison.pairs)
        return [os.path.join(folder, str(count), name) for name in names]

    none = "none"
    runs = [Run(none, dataclasses.replace(training, hard_negatives=0), first_stage)]
    runs += [
        Run(
            f"{count} {way}",
            dataclasses.replace(training, hard_negatives=count),
            first_stage,
            functools.partial(chosen, way, count),
            against=none,
        )
        for count in counts
        for way in ("random", "mined")
    ]
    comparison.compare(runs)


if __name__ == "__main__":
    run_program(main)
