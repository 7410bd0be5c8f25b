"""labse quantize: a release with kernels in 8 bits beside."""

from __future__ import annotations

import argparse

from labse_tf.commands.flags import MODEL_HELP
from labse_tf.openvino.calibration import DEFAULT_SENTENCES


def add_quantize(commands) -> None:
    """Adds the command to the subparsers of `labse`."""
    parser = commands.add_parser(
        "quantize",
        help="a release that embeds faster in int8",
        description="Writes a release of a model, and beside it its kernels in 8 bits, rounded by "
        "what they are multiplied by on your text. --backend openvino --precision int8 uses them, "
        "and is 1.7 to 1.9 times as fast as bfloat16 with 12 layers of 768. Without them int8 is "
        "less exact, and slower than bfloat16 on CPUs with AMX.",
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("destination", metavar="DST", help="directory of the release to write")
    parser.add_argument(
        "--corpus",
        nargs="+",
        required=True,
        help="text like what you will embed: a sentence a line, or translation pairs (.tsv, "
        ".tfrecord); plain or .gz; or a pipe, or - for standard input",
    )
    parser.add_argument(
        "--sentences",
        type=int,
        default=DEFAULT_SENTENCES,
        help="how many are drawn from it, a quarter of them to measure on (default: %(default)s)",
    )
    parser.set_defaults(run=_quantize)


def _quantize(flags: argparse.Namespace) -> None:
    from labse_tf.conversion.quantized_releases import quantize

    cosines = quantize(flags.model, flags.destination, flags.corpus, sentences=flags.sentences)
    print(
        f"{flags.destination}: in int8: cosine with float32: mean {cosines.mean():.7f}, "
        f"lowest {cosines.min():.7f} ({len(cosines):,} sentences)"
    )
