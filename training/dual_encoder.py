"""Trains a sentence encoder by translation ranking: python -m training.dual_encoder --help"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import labse_tf
from labse_tf.commands.flags import run_program
from training.start import add_start, make_model, read_config


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.dual_encoder",
        description="Trains a sentence encoder by translation ranking with an additive-margin "
        "softmax over negatives gathered from every replica. Started again with the same flags, "
        "it goes on from the last checkpoint. `python -m export.saved_model` exports the run.",
    )
    parser.add_argument("--pairs", nargs="+", required=True, help="files of translation pairs")
    add_start(
        parser,
        labse_tf.FineTuningConfig,
        init="release to go on from; --num-layers may add layers on top",
        held_out="files of pairs to measure retrieval on, P@1",
    )
    flags = parser.parse_args(arguments)
    config = read_config(parser, flags, labse_tf.FineTuningConfig)
    model = make_model(parser, flags, config.seed, labse_tf.grow)
    labse_tf.fine_tune(model, flags.pairs, config, flags.workdir, held_out=flags.held_out)


if __name__ == "__main__":
    run_program(main)
