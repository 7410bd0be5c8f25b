"""The one console script: labse encode, client, evaluate, similarity, convert, prune."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from labse_tf.commands.client import add_client
from labse_tf.commands.encode import add_encode
from labse_tf.commands.evaluate import add_evaluate, joined
from labse_tf.commands.flags import run_program
from labse_tf.files.sentences import read_lines

MODEL_HELP = (
    "directory of a release; or of a TF-Hub, Hugging Face or Model Garden model, a .tar.gz, a "
    "handle, the name of a repository"
)


def main() -> None:
    """Entry point of `labse`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    run_program(_run)


def _run(arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(prog="labse", description="Sentence embeddings with LaBSE.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    add_encode(commands, MODEL_HELP)
    add_client(commands)
    add_evaluate(commands, MODEL_HELP)

    similarity = commands.add_parser("similarity", help="cosines of sentences")
    for name in ("a", "b"):
        similarity.add_argument(name, help="a sentence, or @FILE for the lines of a file")
    similarity.add_argument("--model", required=True, help=MODEL_HELP)
    similarity.set_defaults(run=_similarity)

    convert = commands.add_parser("convert", help="a model in another format")
    convert.add_argument("source", metavar="SRC", help=MODEL_HELP)
    convert.add_argument("destination", metavar="DST", help="directory to write")
    convert.add_argument(
        "--to",
        choices=("saved-model", "hugging-face", "model-garden"),
        default="saved-model",
        help="(default: saved-model, a release of labse_tf)",
    )
    convert.add_argument("--vocab", help="vocabulary of a model that does not bring its own")
    _add_dtypes(convert)
    convert.set_defaults(run=_convert)

    prune = commands.add_parser("prune", help="a smaller model, of the word pieces that you use")
    prune.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    prune.add_argument("destination", metavar="DST", help="directory of the release to write")
    prune.add_argument(
        "--corpus",
        nargs="+",
        required=True,
        help="your text: a sentence a line, or translation pairs (.tsv, .tfrecord); plain or .gz",
    )
    prune.add_argument(
        "--min-count", type=int, default=1, help="how often a piece must occur (default: 1)"
    )
    prune.add_argument("--keep", metavar="FILE", help="pieces that stay in any case, one a line")
    prune.add_argument(
        "--keep-languages",
        nargs="+",
        default=(),
        metavar="CODE",
        help="languages all of whose scripts' pieces stay, as fr or fra",
    )
    _add_dtypes(prune)
    prune.set_defaults(run=_prune)

    flags = parser.parse_args(joined(sys.argv[1:] if arguments is None else list(arguments)))
    flags.run(flags)


def _similarity(flags: argparse.Namespace) -> None:
    a, b = (list(read_lines(x[1:])) if x.startswith("@") else [x] for x in (flags.a, flags.b))
    for row in _load(flags.model).similarity(a, b):
        sys.stdout.write("\t".join(f"{cosine:.4f}" for cosine in row) + "\n")


def _add_dtypes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights-dtype",
        choices=("float32", "float16", "bfloat16"),
        help="half precision stores a release in half the space (default: that of --compute-dtype)",
    )
    parser.add_argument(
        "--compute-dtype",
        choices=("float32", "bfloat16"),
        help="what the release computes in; its outputs are float32 (default: float32)",
    )


def _dtypes(flags: argparse.Namespace) -> dict[str, str]:
    given = {name: getattr(flags, name) for name in ("weights_dtype", "compute_dtype")}
    return {name: dtype for name, dtype in given.items() if dtype is not None}


def _convert(flags: argparse.Namespace) -> None:
    from labse_tf.conversion.formats import convert, describe_cosines
    from labse_tf.release.saved_model import size_on_disk

    model = convert(
        flags.source, flags.destination, flags.to, vocab_file=flags.vocab, **_dtypes(flags)
    )
    config = model.encoder.config
    print(
        f"{flags.destination}: {flags.to}, {config.num_layers} layers of {config.hidden_size}, "
        f"{config.vocab_size:,} word pieces, {size_on_disk(flags.destination) / 1e6:,.1f} MB"
    )
    if dtypes := _dtypes(flags):
        print(describe_cosines(model, **dtypes))


def _prune(flags: argparse.Namespace) -> None:
    from labse_tf.conversion.pruned_releases import prune_release

    lines = prune_release(
        flags.model,
        flags.destination,
        flags.corpus,
        min_count=flags.min_count,
        keep_file=flags.keep,
        languages=flags.keep_languages,
        **_dtypes(flags),
    )
    print("\n".join(lines))


def _load(path: str):
    import labse_tf  # TensorFlow takes seconds to import: not before the flags are right

    return labse_tf.load(path)


if __name__ == "__main__":
    main()
