"""The recipe of labse-mini: python -m training.labse_mini --help"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from labse_tf.commands.flags import run_program
from training.labse_mini.settings import Settings
from training.labse_mini.stages import MiniRecipe
from training.recipe import run_recipe


def main(arguments: list[str] | None = None) -> None:
    description = (
        "Train labse-mini, the fast model in the package: pairs by language, word pieces, word "
        "embeddings alone, layers on them, and the release in int8. An interrupted run is resumed."
    )
    run_recipe(MiniRecipe, Settings(), description, arguments)


if __name__ == "__main__":
    run_program(main)
