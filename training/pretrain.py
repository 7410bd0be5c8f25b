"""Pre-trains an encoder by masked language modelling: python -m training.pretrain --help"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from labse_tf.commands.flags import run_program
from labse_tf.encoder.stacking import stack
from labse_tf.training.config import PretrainingConfig
from labse_tf.training.pretraining import pretrain
from training.start import add_start, make_model, read_config


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.pretrain",
        description="Pre-trains an encoder by masked language modelling (MLM) on text and "
        "translation language modelling (TLM) on translation pairs, growing it by stacking. "
        "Started again with the same flags, it goes on from the last checkpoint. "
        "`python -m export.saved_model` exports the run, and `python -m training.dual_encoder "
        "--init` takes the release.",
    )
    parser.add_argument(
        "--pairs", nargs="+", default=[], help="files of translation pairs, for TLM"
    )
    parser.add_argument(
        "--text",
        nargs="+",
        help="texts for MLM, a sentence a line, one file a language; or files of translation "
        "pairs, each side of which is text (default: --pairs)",
    )
    add_start(
        parser,
        PretrainingConfig,
        init="release to go on from; --num-layers or --stages may stack its layers",
        held_out="texts or pairs to measure masked accuracy and perplexity on, language by "
        "language",
    )
    flags = parser.parse_args(arguments)
    config = read_config(parser, flags, PretrainingConfig)
    model = make_model(parser, flags, config.seed, stack)
    text = flags.pairs if flags.text is None else flags.text
    pretrain(model, text, flags.pairs, config, flags.workdir, held_out=flags.held_out)


if __name__ == "__main__":
    run_program(main)
