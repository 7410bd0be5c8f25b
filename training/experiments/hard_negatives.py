"""Hard negatives or none: python -m training.experiments.hard_negatives --help"""

import dataclasses
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from labse_tf import LaBSE
from labse_tf.commands.flags import run_program
from labse_tf.training.config import option
from labse_tf.training.fine_tuning import fine_tune
from training.experiments.comparison import TRAINING, Comparison
from training.experiments.hard_negative_mining import add_hard_negatives
from training.experiments.runs import Run

DESCRIPTION = (
    "A second stage of translation ranking with one hard negative a pair, and without (arXiv "
    "2007.01852 tried them and found no gain; see its supplement). A first stage, trained without "
    "any, finds for each source the nearest English sentence of its language's file that is no "
    "translation of it there. Both go on from the first stage's weights, on the same pairs for "
    "the same steps; a step with hard negatives embeds half as much again."
)


@dataclasses.dataclass(frozen=True)
class Options:
    """The experiment's own flags."""

    first_steps: int = option(1000, "steps of the first stage")


def main(arguments: list[str] | None = None) -> None:
    comparison = Comparison(
        arguments,
        "training.experiments.hard_negatives",
        DESCRIPTION,
        Options,
        dataclasses.replace(TRAINING, learning_rate=5e-4),
        fixed=["hard_negatives", "stages"],
    )
    training, options = comparison.training, comparison.options
    first = dataclasses.replace(
        training, steps=options.first_steps, learning_rate=TRAINING.learning_rate
    )

    def first_stage(seed: int) -> LaBSE:
        folder = os.path.join(comparison.workdir, "first-stage", f"seed-{seed}")
        config = dataclasses.replace(first, seed=seed)
        return fine_tune(comparison.new_model(seed), comparison.pairs, config, folder)

    def mined(seed: int) -> list[str]:
        folder = os.path.join(comparison.workdir, "hard-negatives", f"seed-{seed}")
        return add_hard_negatives(comparison.pairs, folder, lambda: first_stage(seed))

    runs = [
        Run(name, dataclasses.replace(training, hard_negatives=count), first_stage, mined)
        for name, count in (("no hard negatives", 0), ("one hard negative", 1))
    ]
    comparison.compare(runs, against=runs[0].name)


if __name__ == "__main__":
    run_program(main)
