"""python -m export.lite: a model for LiteRT (TensorFlow Lite), for phones and small machines."""

from __future__ import annotations

import argparse
import itertools
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from labse_tf.commands.flags import MODEL_HELP, run_program
from labse_tf.conversion.lite import MODEL_FILE, PRECISIONS, write_lite
from labse_tf.data.texts import read_sentences
from labse_tf.release.saved_model import size_on_disk

SAMPLE = sorted((Path(__file__).parents[1] / "training" / "sample").glob("twenty*.txt"))


def main(arguments: list[str] | None = None) -> None:
    """Writes the directory, and says how large the model is and what it costs."""
    parser = argparse.ArgumentParser(
        prog="export.lite",
        description="Converts a model for LiteRT, runs it there on some sentences, and writes it "
        "with its tokenizer's files. Its signature is that of a release for token ids.",
    )
    parser.add_argument("source", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("output", metavar="OUTPUT", help="directory to write; must not exist")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="of the weights; int8 takes a quarter of the space (default: float32)",
    )
    parser.add_argument(
        "--tokenizer",
        action="store_true",
        help="put the tokenizer inside: sentences are the input, and it runs where TensorFlow "
        "Text's ops for LiteRT are linked",
    )
    parser.add_argument(
        "--seq-length",
        type=int,
        metavar="N",
        help="tokens of every sentence, for accelerators that need one shape (default: any number)",
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="sentences of every call, for the same (default: any number)",
    )
    parser.add_argument(
        "--sentences",
        nargs="+",
        default=SAMPLE,
        metavar="FILE",
        help="text or translation pairs, on the first 200 sentences of which the embeddings are "
        "compared with the model's own (default: 40 of the sample)",
    )
    flags = parser.parse_args(arguments)
    cosines = write_lite(
        flags.source,
        flags.output,
        sentences=[
            s for path in flags.sentences for s in itertools.islice(read_sentences(path), 200)
        ],
        precision=flags.precision,
        tokenizer=flags.tokenizer,
        seq_length=flags.seq_length,
        batch_size=flags.batch_size,
    )
    path = os.path.join(flags.output, MODEL_FILE)
    print(
        f"{path}: {size_on_disk(path) / 1e6:.1f} MB, weights in {flags.precision}: cosine with the "
        f"model's own: mean {cosines.mean():.7f}, lowest {cosines.min():.7f} "
        f"({len(cosines):,} sentences)"
    )


if __name__ == "__main__":
    run_program(main)
