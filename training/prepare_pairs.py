"""Filters translation pairs and writes shards: python -m training.prepare_pairs --help"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import labse_tf
from labse_tf.commands.flags import add_flags, from_flags, run_program
from labse_tf.encoder.precision import PRECISIONS
from labse_tf.preparation.options import PreparationOptions
from labse_tf.preparation.prepare_pairs import prepare_pairs
from labse_tf.preparation.report import preparation_table


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.prepare_pairs",
        description="Filters translation pairs by length, length ratio, language (by script, or "
        "with --language-filter identified by an identifier, extra `preparation`), duplicates, "
        "test sentences and, if asked, an existing model's score; writes what is left as shards, "
        "with counts.json of what was dropped and why. Give --pairs OUTPUT/*tfrecord* to training. "
        "Columns after the second are dropped.",
    )
    parser.add_argument("--pairs", nargs="+", required=True, help="files of translation pairs")
    parser.add_argument("--output", required=True, help="directory to write, whole or not at all")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier output")
    parser.add_argument(
        "--exclude", nargs="+", default=[], metavar="FILE",
        help="test sentences, a line each, or test pairs: pairs that hold one are dropped",
    )  # fmt: skip
    parser.add_argument("--model", help="scores the pairs, for --min-score or --keep-best")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default=PRECISIONS[0], help="that it computes in"
    )
    add_flags(parser.add_argument_group("what stays, and its form"), PreparationOptions)
    flags = parser.parse_args(arguments)
    options = PreparationOptions(**from_flags(flags, PreparationOptions))

    model = labse_tf.load(flags.model, precision=flags.precision) if flags.model else None
    counts = prepare_pairs(
        flags.pairs,
        flags.output,
        options,
        exclude=flags.exclude,
        model=model,
        overwrite=flags.overwrite,
    )
    print("\n".join(preparation_table(counts)))


if __name__ == "__main__":
    run_program(main)
