"""labse prune: a smaller model, of the word pieces that some text uses."""

from __future__ import annotations

import argparse

from labse_tf.commands.flags import MODEL_HELP, add_dtype_flags, given_dtypes


def add_prune(commands) -> None:
    """Adds the command to the subparsers of `labse`."""
    parser = commands.add_parser("prune", help="a smaller model, of the word pieces that you use")
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("destination", metavar="DST", help="directory of the release to write")
    parser.add_argument(
        "--corpus",
        nargs="+",
        required=True,
        help="your text: a sentence a line, or translation pairs (.tsv, .tfrecord); plain or .gz; "
        "or a pipe, as <(xzcat crawl.xz), or - for standard input",
    )
    parser.add_argument(
        "--min-count", type=int, default=1, help="how often a piece must occur (default: 1)"
    )
    parser.add_argument("--keep", metavar="FILE", help="pieces that stay in any case, one a line")
    parser.add_argument(
        "--keep-languages",
        nargs="+",
        default=(),
        metavar="CODE",
        help="languages all of whose scripts' pieces stay, as fr or fra",
    )
    add_dtype_flags(parser)
    parser.set_defaults(run=_prune)


def _prune(flags: argparse.Namespace) -> None:
    from labse_tf.conversion.pruned_releases import prune_release

    lines = prune_release(
        flags.model,
        flags.destination,
        flags.corpus,
        min_count=flags.min_count,
        keep_file=flags.keep,
        languages=flags.keep_languages,
        **given_dtypes(flags),
    )
    print("\n".join(lines))
