"""The additive margin, none and some: python -m training.experiments.margin --help"""

import dataclasses
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from labse_tf.commands.flags import run_program
from labse_tf.training.config import option
from training.experiments.comparison import Comparison
from training.experiments.runs import Run

DESCRIPTION = (
    "Translation ranking with different additive margins (arXiv 2007.01852, “Additive Margin "
    "Softmax”, which takes 0.3 and finds 0 worse). All runs of a seed have the same first weights, "
    "pairs, order and steps."
)


@dataclasses.dataclass(frozen=True)
class Options:
    """The experiment's own flags."""

    margins: str = option("0,0.3", "margins to compare, the first with all others")


def main(arguments: list[str] | None = None) -> None:
    comparison = Comparison(
        arguments, "training.experiments.margin", DESCRIPTION, Options, fixed=["margin"]
    )
    margins = [float(margin) for margin in comparison.options.margins.split(",")]
    runs = [
        Run(
            f"margin {margin:g}",
            dataclasses.replace(comparison.training, margin=margin),
            x=margin if len(margins) > 2 else None,
        )
        for margin in margins
    ]
    comparison.compare(runs, against=runs[0].name, x_label="margin")


if __name__ == "__main__":
    run_program(main)
