"""labse convert: a model from one format to another."""

from __future__ import annotations

import argparse

from labse_tf.commands.flags import MODEL_HELP, add_dtype_flags, given_dtypes


def add_convert(commands) -> None:
    """Adds the command to the subparsers of `labse`."""
    parser = commands.add_parser("convert", help="a model in another format")
    parser.add_argument("source", metavar="SRC", help=MODEL_HELP)
    parser.add_argument("destination", metavar="DST", help="directory to write")
    parser.add_argument(
        "--to",
        choices=("saved-model", "hugging-face", "model-garden"),
        default="saved-model",
        help="(default: saved-model, a release of labse_tf)",
    )
    parser.add_argument("--vocab", help="vocabulary of a model that does not bring its own")
    add_dtype_flags(parser)
    parser.set_defaults(run=_convert)


def _convert(flags: argparse.Namespace) -> None:
    from labse_tf.conversion.formats import convert, describe_cosines
    from labse_tf.release.saved_model import size_on_disk

    dtypes = given_dtypes(flags)
    model = convert(flags.source, flags.destination, flags.to, vocab_file=flags.vocab, **dtypes)
    config = model.encoder.config
    print(
        f"{flags.destination}: {flags.to}, {config.num_layers} layers of {config.hidden_size}, "
        f"{config.vocab_size:,} word pieces, {size_on_disk(flags.destination) / 1e6:,.1f} MB"
    )
    if dtypes:
        print(describe_cosines(model, **dtypes))
