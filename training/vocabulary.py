"""Learns a WordPiece vocabulary from translation pairs: python -m training.vocabulary --help"""

import argparse
import inspect
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

from labse_tf.commands.flags import run_program
from labse_tf.data.pair_files import read_columns
from labse_tf.tokenization.preprocessing import UNKNOWN, Preprocessor
from labse_tf.tokenization.vocabulary import RESERVED, learn_vocabulary, write_vocabulary


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.vocabulary",
        description="Learns a cased WordPiece vocabulary from translation pairs, one file a "
        "language, with the WordPiece trainer of `tokenizers` (extra `training`) and smoothed "
        "sampling of the languages.",
    )
    parser.add_argument("--pairs", nargs="+", required=True, help="files of translation pairs")
    parser.add_argument("--output", required=True, help="file to write, one piece a line")
    parser.add_argument("--vocab-size", type=int, required=True, help="most pieces")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    options = inspect.signature(learn_vocabulary).parameters
    for name, text in (
        ("exponent", "a language of n sentences counts as n**exponent; the paper: 0.3"),
        ("max_sentences", "most sentences of a language"),
        ("seed", "of the choice of sentences"),
    ):
        default = options[name].default
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(
            flag, type=type(default), default=default, help=f"{text} (default: {default})"
        )
    flags = vars(parser.parse_args(arguments))
    files, output, overwrite = (flags.pop(name) for name in ("pairs", "output", "overwrite"))
    if os.path.exists(output) and not overwrite:
        raise FileExistsError(f"{output!r} exists. Choose another path, or pass --overwrite.")

    tokens = learn_vocabulary([read_columns(file) for file in files], **flags)
    write_vocabulary(tokens, output, overwrite=overwrite)
    print(f"{output}: {len(tokens):,} pieces")
    print_use(output, files)


def print_use(vocab_file: str, files: list[str]) -> None:
    """What the vocabulary makes of each file's sources, and of the first file's targets."""
    preprocessor = Preprocessor(vocab_file)
    unknown = tf.constant(RESERVED.index(UNKNOWN))
    print(f"{'':36}{'pieces/sentence':>16}{'pieces/word':>13}{'unknown':>9}")
    for index, side in [(i, 0) for i in range(len(files))] + [(0, 1)]:
        sentences = [pair[side] for pair in read_columns(files[index])]
        words = preprocessor.tokenize(tf.constant(sentences))
        pieces = words.flat_values
        count, lost = len(pieces), int(tf.reduce_sum(tf.cast(pieces == unknown, tf.int32)))
        name = os.path.basename(files[index]) + (" (targets)" if side else "")
        print(
            f"{name:36}{count / len(sentences):16.1f}{count / words.values.shape[0]:13.2f}"
            f"{lost / count:9.2%}"
        )


if __name__ == "__main__":
    run_program(main)
