"""labse similarity: a table of the cosines between sentences."""

from __future__ import annotations

import argparse

from labse_tf.commands.flags import MODEL_HELP
from labse_tf.files.lines import read_lines


def add_similarity(commands) -> None:
    """Adds the command to the subparsers of `labse`."""
    parser = commands.add_parser("similarity", help="cosines of sentences")
    for name in ("a", "b"):
        parser.add_argument(name, help="a sentence, or @FILE for the lines of a file")
    parser.add_argument("--model", required=True, help=MODEL_HELP)
    parser.set_defaults(run=_similarity)


def _similarity(flags: argparse.Namespace) -> None:
    a, b = (list(read_lines(x[1:])) if x.startswith("@") else [x] for x in (flags.a, flags.b))
    import labse_tf

    for row in labse_tf.load(flags.model).similarity(a, b):
        print("\t".join(f"{cosine:.4f}" for cosine in row))
