"""Negatives of one replica or of several: python -m training.experiments.cross_replica --help"""

import dataclasses
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

from labse_tf import LaBSE
from labse_tf.commands.flags import run_program
from labse_tf.training.config import option
from training.experiments.comparison import TRAINING, Comparison
from training.experiments.replica_negatives import GroupNegativesLoss
from training.experiments.runs import Run

DESCRIPTION = (
    "Negatives gathered from 1, 2, 4, ... replicas (arXiv 2007.01852, “Cross-Accelerator Negative "
    "Sampling”), against as many in-batch negatives of one replica that embeds its batch in chunks "
    "of a replica's size, by gradient caching. All runs of a seed have the same first weights, "
    "pairs a step, order and steps; only what a pair is ranked against differs. Replicas are "
    "logical CPU devices."
)


@dataclasses.dataclass(frozen=True)
class Options:
    """The experiment's own flags."""

    replicas: int = option(8, "logical CPU devices; each has its share of --batch-size")
    gathered: str = option("1,2,4,8", "of how many replicas the negatives are, the first least")


def main(arguments: list[str] | None = None) -> None:
    comparison = Comparison(
        arguments,
        "training.experiments.cross_replica",
        DESCRIPTION,
        Options,
        dataclasses.replace(TRAINING, steps=400),
        fixed=["chunk_size"],
    )
    training, replicas = comparison.training, comparison.options.replicas
    if replicas < 2 or training.batch_size % replicas:
        raise ValueError(
            f"`replicas` (={replicas}) must be at least 2 and divide `batch_size` "
            f"(={training.batch_size})."
        )
    gathered = [int(count) for count in comparison.options.gathered.split(",")]
    if not all(0 < count <= replicas and replicas % count == 0 for count in gathered):
        raise ValueError(
            f"`gathered` (={comparison.options.gathered!r}) must be numbers that divide "
            f"`replicas` (={replicas})."
        )
    local = training.batch_size // replicas
    chunked = dataclasses.replace(training, chunk_size=local)

    def one_replica(seed: int) -> LaBSE:
        return comparison.new_model(seed, strategy=tf.distribute.get_strategy())

    runs = []
    for config, start, line in (
        (training, None, "cross-replica"),
        (chunked, one_replica, "in-batch, gradient caching"),
    ):
        for count in gathered:
            negatives = count * local - 1
            name = f"{line}, {negatives} negatives"
            against = f"cross-replica, {(count if start else gathered[0]) * local - 1} negatives"
            loss = GroupNegativesLoss(
                count * local,
                margin=training.margin,
                scale=training.scale,
                bidirectional=training.bidirectional,
                mask_duplicates=training.mask_duplicates,
            )
            against = "" if name == against else against
            runs.append(
                Run(name, config, start, loss=loss, against=against, line=line, x=negatives)
            )
    comparison.compare(runs, x_label="negatives of a pair", log_x=True)


if __name__ == "__main__":
    run_program(main)
