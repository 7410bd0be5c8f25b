"""The one console script: labse encode, labse similarity."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import numpy as np

from labse_tf.flags import run_program


def main() -> None:
    """Entry point of `labse`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    run_program(_run)


def _run(arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(
        prog="labse", description="Sentence embeddings with a release of labse_tf."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    encode = commands.add_parser("encode", help="embed the lines of a file")
    encode.add_argument("file", help="UTF-8 text, one sentence a line")
    encode.add_argument("--model", required=True, help="directory of a release")
    encode.add_argument("--output", required=True, help="NumPy file to write, float32 [lines, dim]")
    encode.set_defaults(run=_encode)

    similarity = commands.add_parser("similarity", help="cosines of sentences")
    for name in ("a", "b"):
        similarity.add_argument(name, help="a sentence, or @FILE for the lines of a file")
    similarity.add_argument("--model", required=True, help="directory of a release")
    similarity.set_defaults(run=_similarity)

    flags = parser.parse_args(arguments)
    flags.run(flags)


def _encode(flags: argparse.Namespace) -> None:
    sentences = _read_lines(flags.file)
    if not os.path.isdir(os.path.dirname(os.path.abspath(flags.output))):
        raise FileNotFoundError(f"There is no directory to write {flags.output!r} to.")
    embeddings = _load(flags.model).encode(sentences)
    # Beside the output and then renamed, so that half a file never has its name.
    unfinished = f"{flags.output}.unfinished"
    try:
        with open(unfinished, "wb") as file:
            np.save(file, embeddings)
        os.replace(unfinished, flags.output)
    except BaseException:
        if os.path.exists(unfinished):
            os.remove(unfinished)
        raise
    print(f"{flags.output}: float32 {list(embeddings.shape)}")


def _similarity(flags: argparse.Namespace) -> None:
    a, b = (_read_lines(x[1:]) if x.startswith("@") else [x] for x in (flags.a, flags.b))
    for row in _load(flags.model).similarity(a, b):
        sys.stdout.write("\t".join(f"{cosine:.4f}" for cosine in row) + "\n")


def _load(path: str):
    import labse_tf  # TensorFlow takes seconds to import: not before the flags are right

    return labse_tf.load(path)


def _read_lines(path: str) -> list[str]:
    """The lines of a UTF-8 file; an error says which line is not."""
    with open(path, "rb") as file:
        lines = file.read().split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    sentences = []
    for number, line in enumerate(lines, start=1):
        try:
            sentences.append(line.removesuffix(b"\r").decode("utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}:{number}: invalid UTF-8: {error}.") from error
    return sentences
