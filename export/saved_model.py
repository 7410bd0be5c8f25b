"""Exports a training run as one SavedModel: python -m export.saved_model --help"""

import argparse
import itertools
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from labse_tf.commands.flags import add_dtype_flags, given_dtypes, run_program
from labse_tf.conversion.formats import describe_cosines
from labse_tf.data.texts import read_sentences
from labse_tf.release.saved_model import size_on_disk, write_split
from labse_tf.training.progress import unfinished
from labse_tf.training.run_directory import load_head, load_run

SAMPLE = sorted((Path(__file__).parents[1] / "training" / "sample").glob("*.heldout.tsv.gz"))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m export.saved_model",
        description="Exports a training run as one SavedModel with the preprocessor inside, which "
        "hub.load, hub.KerasLayer, TensorFlow Serving and labse_tf.load read. Of a run that has "
        "not ended it says so on stderr, with the step.",
    )
    parser.add_argument("run", help="working directory of training.dual_encoder or .pretrain")
    parser.add_argument("release", help="directory to write")
    parser.add_argument("--step", type=int, help="checkpoint to export (default: the newest)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--overwrite", action="store_true", help="replace a release that exists")
    how.add_argument(
        "--split",
        action="store_true",
        help="write two SavedModels instead, encoder/ and preprocessor/, which are called as "
        "google/LaBSE/2 and its preprocessor",
    )
    parser.add_argument(
        "--mlm",
        action="store_true",
        help="of a run of training.pretrain: the encoder also has `.mlm`, as TF-Hub's text "
        "encoders, which predicts masked word pieces",
    )
    add_dtype_flags(parser)
    parser.add_argument(
        "--sentences",
        nargs="+",
        default=SAMPLE,
        metavar="FILE",
        help="text or translation pairs on the first 200 sentences of which other dtypes are "
        "compared with float32 (default: the held-out sentences of the sample)",
    )
    flags = parser.parse_args(arguments)
    if where := unfinished(flags.run):
        print(
            f"warning: the run in {flags.run!r} has not ended: its newest checkpoint is of "
            f"{where}. Start the run again in the same way to go on.",
            file=sys.stderr,
        )
    model = load_run(flags.run, flags.step)
    dtypes = given_dtypes(flags)
    options = dict(head=load_head(flags.run, flags.step) if flags.mlm else None, **dtypes)
    if flags.split:
        options["weights_dtype"] = dtypes.get("weights_dtype") or model.default_weights_dtype(
            dtypes.get("compute_dtype", "float32")
        )
        write_split(flags.release, model.preprocessor, model.encoder, **options)
    else:
        model.save(flags.release, overwrite=flags.overwrite, **options)
    print(f"{flags.release}: {size_on_disk(flags.release) / 1e6:.1f} MB")
    if set(dtypes.values()) - {"float32"}:
        sentences = [
            s for path in flags.sentences for s in itertools.islice(read_sentences(path), 200)
        ]
        print(describe_cosines(model, sentences, **dtypes))


if __name__ == "__main__":
    run_program(main)
