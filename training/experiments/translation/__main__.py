"""Translation models trained on mined pairs: python -m training.experiments.translation --help"""

import argparse
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from labse_tf.commands.flags import add_flags, from_flags, run_program
from training.experiments.report import check_plotting
from training.experiments.translation.experiment import Experiment
from training.experiments.translation.settings import Options, TranslationConfig
from training.labse_mini.settings import Settings

PROGRAM = "training.experiments.translation"
RECIPE = Settings()  # of labse-mini


def main(arguments: list[str] | None = None, recipe: Settings = RECIPE) -> None:
    parser = argparse.ArgumentParser(
        prog=f"python -m {PROGRAM}",
        description="Mines the torn half of Tatoeba's pairs with an encoder that has not seen it, "
        "and trains translation models on what was mined, on the true pairs, and on what weaker "
        "ways mined (arXiv 2007.01852, “Mining Parallel Text from CommonCrawl”). Started again "
        "with the same flags, it goes on where it was.",
    )
    parser.add_argument("--data", default="", help="directory with train, train2, train-x and eval")
    parser.add_argument("--workdir", required=True, help="directory to work in")
    stages = list(Experiment("", "", Options(), TranslationConfig(), recipe, []).stages)
    parser.add_argument(
        "--until", choices=stages, default=stages[-1], help=f"last stage (default: {stages[-1]})"
    )
    add_flags(parser.add_argument_group("what is compared"), Options)
    add_flags(parser.add_argument_group("translation models"), TranslationConfig)
    flags = parser.parse_args(arguments)
    check_plotting()
    Experiment(
        flags.data,
        flags.workdir,
        Options(**from_flags(flags, Options)),
        TranslationConfig(**from_flags(flags, TranslationConfig)),
        recipe,
        ["python", "-m", PROGRAM, *(sys.argv[1:] if arguments is None else arguments)],
    ).run(flags.until)


if __name__ == "__main__":
    run_program(main)
