"""The recipe of labse-small: python -m training.labse_small --help"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from labse_tf.commands.flags import run_program
from training.labse_small.settings import Settings
from training.labse_small.stages import SmallRecipe
from training.recipe import run_recipe


def main(arguments: list[str] | None = None) -> None:
    description = (
        "Train labse-small, the Transformer in the package: pairs by language, the weights of "
        "multilingual-e5-small, its vocabulary pruned to the text, translation ranking, and the "
        "release. An interrupted run is resumed."
    )
    run_recipe(SmallRecipe, Settings(), description, arguments)


if __name__ == "__main__":
    run_program(main)
