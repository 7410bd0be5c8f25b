"""The additive margin and the scale: python -m training.experiments.margin --help"""

import dataclasses
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from labse_tf.commands.flags import run_program
from labse_tf.training.config import option
from training.experiments.comparison import Comparison
from training.experiments.runs import Run

DESCRIPTION = (
    "Translation ranking with different additive margins (arXiv 2007.01852, “Additive Margin "
    "Softmax”, which takes 0.3 and finds 0 worse), each at several scales of the cosines: what is "
    "subtracted from a pair's logit is their product. All runs of a seed have the same first "
    "weights, pairs, order and steps."
)


@dataclasses.dataclass(frozen=True)
class Options:
    """The experiment's own flags."""

    margins: str = option("0,0.1,0.2,0.3", "margins to compare, the first with all others")
    scales: str = option("10,20,40", "scales to compare the margins at")


def main(arguments: list[str] | None = None) -> None:
    comparison = Comparison(
        arguments, "training.experiments.margin", DESCRIPTION, Options, fixed=["margin", "scale"]
    )
    margins, scales = (
        [float(value) for value in values.split(",")]
        for values in (comparison.options.margins, comparison.options.scales)
    )
    runs = [
        Run(
            f"scale {scale:g}, margin {margin:g}",
            dataclasses.replace(comparison.training, margin=margin, scale=scale),
            against="" if margin == margins[0] else f"scale {scale:g}, margin {margins[0]:g}",
            line=f"scale {scale:g}",
            x=margin if len(margins) > 2 else None,
        )
        for scale in scales
        for margin in margins
    ]
    comparison.compare(runs, x_label="margin")


if __name__ == "__main__":
    run_program(main)
