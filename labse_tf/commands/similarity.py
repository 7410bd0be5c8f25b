"""labse similarity: the cosines between sentences, as a table, a picture, or the nearest ones."""

from __future__ import annotations

import argparse
import os

from labse_tf.commands.flags import add_embedding_flags, add_model_flag, encode_options
from labse_tf.commands.heat_map import LARGEST, heat_map
from labse_tf.commands.sentences import HELP, given_sentences
from labse_tf.files.atomic import atomic_file
from labse_tf.files.tsv import to_field


def add_similarity(commands) -> None:
    """Adds the command to the subparsers of `labse`."""
    parser = commands.add_parser(
        "similarity",
        help="cosines of sentences, and their nearest ones",
        description="Prints a line for each sentence of A: its cosines with those of B.",
    )
    for name in ("a", "b"):
        parser.add_argument(name, help=HELP)
    add_model_flag(parser)
    add_embedding_flags(parser)
    parser.add_argument(
        "--nearest", type=int, metavar="K",
        help="instead, print a line for each of the K nearest sentences of B of each sentence of "
        "A: cosine TAB sentence TAB sentence, with spaces for tabs in sentences",
    )  # fmt: skip
    parser.add_argument(
        "--heat-map", metavar="FILE.svg",
        help=f"also write an SVG picture of the cosines, of at most {LARGEST} sentences each",
    )  # fmt: skip
    parser.set_defaults(run=_similarity)


def _similarity(flags: argparse.Namespace) -> None:
    if flags.heat_map is not None and os.path.lexists(flags.heat_map):
        raise FileExistsError(f"{flags.heat_map!r} exists. Choose another path, or remove it.")
    a, b = (list(given_sentences(argument)) for argument in (flags.a, flags.b))
    if flags.nearest is not None and not 1 <= flags.nearest <= len(b):
        raise ValueError(f"--nearest (={flags.nearest}) must be from 1 to the {len(b):,} of B.")
    if flags.heat_map is not None and max(len(a), len(b)) > LARGEST:
        raise ValueError(
            f"--heat-map is of at most {LARGEST} sentences a side, not {len(a):,} and {len(b):,}."
        )
    import labse_tf
    from labse_tf.search.nearest import nearest

    model = labse_tf.load(flags.model, precision=flags.precision, backend=flags.backend)
    x, y = (model.encode(sentences, **encode_options(flags)) for sentences in (a, b))
    if flags.heat_map is not None:
        with atomic_file(flags.heat_map) as file:
            file.write(heat_map(x @ y.T, a, b))
    if flags.nearest is None:
        for row in x @ y.T:
            print("\t".join(f"{cosine:.4f}" for cosine in row))
        return
    for sentence, cosines, rows in zip(a, *nearest(x, y, flags.nearest), strict=True):
        for cosine, row in zip(cosines, rows, strict=True):
            print(f"{cosine:.4f}\t{to_field(sentence)}\t{to_field(b[row])}")
