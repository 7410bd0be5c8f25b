"""Learns a WordPiece vocabulary from translation pairs: python -m training.vocabulary --help"""

import argparse
import inspect
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

from labse_tf.commands.flags import run_program
from labse_tf.data.pair_files import read_columns
from labse_tf.data.regular_files import is_empty
from labse_tf.tokenization.choices import GOOGLE, TOKENIZATIONS
from labse_tf.tokenization.preprocessing import Preprocessor
from labse_tf.tokenization.vocabulary import learn_vocabulary, write_vocabulary

_MOST_UNKNOWN = 0.2  # of a file's words, without a warning


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
    parser.add_argument(
        "--max-word-bytes",
        type=int,
        help="leave out longer words, for a model to which they are unknown: 100 for Google's "
        "(default: no limit)",
    )
    parser.add_argument(
        "--tokenization",
        choices=TOKENIZATIONS,
        default=GOOGLE,
        help="how text is divided into words; give the training the same (default: google)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    options = inspect.signature(learn_vocabulary).parameters
    for name, text in (
        ("exponent", "a language of n sentences counts as n**exponent; the paper: 0.3"),
        ("max_sentences", "most sentences of a language whose words are counted, drawn at random"),
        ("seed", "seed of the random sample of sentences"),
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
    for file in files:  # before the others are read
        if is_empty(file):
            raise ValueError(f"The file {file!r} is empty: expected a pair per line.")

    tokens = learn_vocabulary([read_columns(file) for file in files], **flags)
    write_vocabulary(tokens, output, overwrite=overwrite)
    print(f"{output}: {len(tokens):,} pieces")
    words = {name: flags[name] for name in ("max_word_bytes", "tokenization")}
    print_use(Preprocessor(output, **words), files)


def print_use(preprocessor: Preprocessor, files: list[str]) -> None:
    """What the vocabulary makes of each file's sources, and of the first file's targets.

    `unknown` is the share of the words; a file with more than 20% is named once more.
    """
    too_many = []
    print(f"{'':36}{'pieces/sentence':>16}{'pieces/word':>13}{'unknown':>9}")
    for index, side in [(i, 0) for i in range(len(files))] + [(0, 1)]:
        sentences = [pair[side] for pair in read_columns(files[index])]
        words = preprocessor.tokenize(tf.constant(sentences))
        pieces = words.flat_values
        count, word_count = len(pieces), int(words.values.nrows())
        unknown = tf.cast(pieces == preprocessor.unknown_id, tf.int32)  # a word each
        lost = int(tf.reduce_sum(unknown)) / max(word_count, 1)
        name = os.path.basename(files[index]) + (" (targets)" if side else "")
        print(
            f"{name:36}{count / len(sentences):16.1f}{count / max(word_count, 1):13.2f}{lost:9.2%}"
        )
        if lost > _MOST_UNKNOWN:
            too_many.append(name)
    if too_many:
        print(
            f"More than {_MOST_UNKNOWN:.0%} of the words are unknown in: {', '.join(too_many)}. "
            "Give more of their text, a larger --vocab-size or a smaller --exponent.",
            file=sys.stderr,
        )


if __name__ == "__main__":
    run_program(main)
