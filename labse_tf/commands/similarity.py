"""labse similarity: a table of the cosines between sentences."""

from __future__ import annotations

import argparse

from labse_tf.commands.flags import MODEL_HELP
from labse_tf.commands.sentences import HELP, given_sentences


def add_similarity(commands) -> None:
    """Adds the command to the subparsers of `labse`."""
    parser = commands.add_parser("similarity", help="cosines of sentences")
    for name in ("a", "b"):
        parser.add_argument(name, help=HELP)
    parser.add_argument("--model", required=True, help=MODEL_HELP)
    parser.set_defaults(run=_similarity)


def _similarity(flags: argparse.Namespace) -> None:
    a, b = (list(given_sentences(argument)) for argument in (flags.a, flags.b))
    import labse_tf

    for row in labse_tf.load(flags.model).similarity(a, b):
        print("\t".join(f"{cosine:.4f}" for cosine in row))
