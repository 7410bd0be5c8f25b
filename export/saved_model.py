"""Exports a training run as one SavedModel: python -m export.saved_model --help"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from labse_tf.flags import run_program
from labse_tf.saved_model import size_on_disk
from labse_tf.training_state import load_run


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m export.saved_model",
        description="Exports a training run as one SavedModel with the preprocessor inside, which "
        "hub.load, hub.KerasLayer, TensorFlow Serving and labse_tf.load read.",
    )
    parser.add_argument("run", help="working directory of training.dual_encoder")
    parser.add_argument("release", help="directory to write")
    parser.add_argument("--step", type=int, help="checkpoint to export (default: the newest)")
    parser.add_argument("--overwrite", action="store_true", help="replace a release that exists")
    flags = parser.parse_args(arguments)
    load_run(flags.run, flags.step).save(flags.release, overwrite=flags.overwrite)
    print(f"{flags.release}: {size_on_disk(flags.release) / 1e6:.1f} MB")


if __name__ == "__main__":
    run_program(main)
