"""The files of mined pairs: `score TAB source TAB target`, and beside it what else is known."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from labse_tf.files.atomic import atomic_files
from labse_tf.mining.pairs import Pairs
from labse_tf.mining.sides import Side

HEADER = "score cosine source_id target_id source_lines target_lines".split()
_NAME = re.compile(r"(?P<stem>.+?)(?P<tsv>\.tsv)?(?P<gz>\.gz)?", re.IGNORECASE)
_WRITTEN = 8192  # pairs at a time


def meta_path(output: str | os.PathLike) -> str:
    """Where the metadata of pairs are: `pairs.meta.tsv.gz` of `pairs.tsv.gz`."""
    match = _NAME.fullmatch(os.fspath(output))
    return f"{match['stem']}.meta{match['tsv'] or '.tsv'}{match['gz'] or ''}"


def check_output(output: str | os.PathLike, overwrite: bool) -> None:
    """As `check_path`, of a file of pairs and of its metadata."""
    check_path(output, overwrite)
    check_path(meta_path(output), overwrite)


def check_path(path: str | os.PathLike, overwrite: bool) -> None:
    """Says what is wrong with an output before hours are spent on it.

    Raises:
        FileExistsError: it exists, and `overwrite` is False.
        FileNotFoundError: there is no such directory.
        IsADirectoryError: it is one.
    """
    path = os.fspath(path)
    if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
        raise FileNotFoundError(f"There is no directory to write {path!r} to.")
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path!r} is a directory; give the name of a file.")
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(f"{path!r} exists. Choose another path, or --overwrite it.")


def write_pairs(
    output: str | os.PathLike, pairs: Pairs, cosines: np.ndarray, source: Side, target: Side
) -> None:
    """Writes the pairs and their metadata, in their order, both whole or not at all.

    The metadata have a line of names, and then a line a pair: score, cosine, the ids of both
    sentences (their line numbers, if they have none), and the line numbers of all their copies.

    Args:
        output: the file; gzip if its name ends in `.gz`.
        pairs: to write.
        cosines: float32 [pairs].
        source: the sentences.
        target: the sentences.

    Raises:
        OSError: a file cannot be written.
    """
    with text_files(output, meta_path(output)) as (file, meta):
        meta.write(("\t".join(HEADER) + "\n").encode())
        for start in range(0, len(pairs), _WRITTEN):
            part = slice(start, start + _WRITTEN)
            rows = pairs.rows[part]
            ids, texts = zip(source.read(rows[:, 0]), target.read(rows[:, 1]))
            scores = [f"{score:.6f}" for score in pairs.scores[part].tolist()]
            lines = zip(scores, *texts)
            file.write("".join("\t".join(line) + "\n" for line in lines).encode())
            copies = (
                [",".join(map(str, side.lines_of(row))) for row in of.tolist()]
                for side, of in zip((source, target), rows.T)
            )
            near = [f"{cosine:.6f}" for cosine in cosines[part].tolist()]
            meta.write(
                "".join(
                    "\t".join(line) + "\n" for line in zip(scores, near, *ids, *copies)
                ).encode()
            )


@contextlib.contextmanager
def text_files(*paths: str | os.PathLike) -> Iterator[list[BinaryIO]]:
    """Give files to write bytes to, all whole or none at all; gzip if a name ends in `.gz`."""
    with atomic_files(paths, "wb") as files, contextlib.ExitStack() as streams:
        yield [
            # Without the name and the time that gzip would note: the same bytes every time.
            streams.enter_context(gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0))
            if os.fspath(path).lower().endswith(".gz")
            else file
            for path, file in zip(paths, files)
        ]
