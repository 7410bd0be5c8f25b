"""Negatives of one replica or of all: python -m training.experiments.cross_replica --help"""

import dataclasses
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from labse_tf.commands.flags import run_program
from labse_tf.training.config import option
from training.experiments.comparison import TRAINING, Comparison
from training.experiments.replica_negatives import ReplicaNegativesLoss
from training.experiments.runs import Run

DESCRIPTION = (
    "Negatives of a replica's own batch against those gathered from all replicas (arXiv "
    "2007.01852, “Cross-Accelerator Negative Sampling”). Batches, first weights and steps are the "
    "same; only what a pair is ranked against differs. Replicas are logical CPU devices."
)


@dataclasses.dataclass(frozen=True)
class Options:
    """The experiment's own flags."""

    replicas: int = option(4, "logical CPU devices; each has its share of --batch-size")


def main(arguments: list[str] | None = None) -> None:
    comparison = Comparison(
        arguments,
        "training.experiments.cross_replica",
        DESCRIPTION,
        Options,
        dataclasses.replace(TRAINING, batch_size=128),
    )
    training, replicas = comparison.training, comparison.options.replicas
    if replicas < 2 or training.batch_size % replicas:
        raise ValueError(
            f"`replicas` (={replicas}) must be at least 2 and divide `batch_size` "
            f"(={training.batch_size})."
        )
    local = training.batch_size // replicas
    runs = [
        Run(f"in-batch, {local - 1} negatives", training, loss=ReplicaNegativesLoss),
        Run(f"cross-replica, {training.batch_size - 1} negatives", training),
    ]
    comparison.compare(runs, against=runs[0].name)


if __name__ == "__main__":
    run_program(main)
