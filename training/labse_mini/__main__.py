"""The recipe of labse-mini: python -m training.labse_mini --help"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from labse_tf.commands.flags import run_program
from training.labse_mini.settings import Settings
from training.labse_mini.stages import Recipe


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.labse_mini",
        description="Trains labse-mini, the model in the package: pairs by language, word pieces, "
        "word embeddings alone, layers on them, and the release in int8. Started again, it goes "
        "on where it was.",
    )
    parser.add_argument(
        "--data", required=True, help="directory with train, train2, train-x and eval"
    )
    parser.add_argument("--workdir", required=True, help="directory to work in")
    stages = list(Recipe("", "", Settings()).stages)
    parser.add_argument(
        "--until", choices=stages, default=stages[-1], help=f"last stage (default: {stages[-1]})"
    )
    flags = parser.parse_args(arguments)
    Recipe(flags.data, flags.workdir, Settings()).run(flags.until)


if __name__ == "__main__":
    run_program(main)
