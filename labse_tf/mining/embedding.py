"""The embeddings of a side: computed and written to a file, or given and looked at."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator

import numpy as np

from labse_tf.evaluation.benchmarks.embedding import Embed
from labse_tf.files.embeddings import EmbeddingFile
from labse_tf.mining.rows import Int8Rows, open_rows, stored_form, stored_width
from labse_tf.mining.sides import Side
from labse_tf.progress_bars import progress_bar

Encode = Callable[[list[str]], np.ndarray]
_SENTENCES = 16_384  # embedded between two writes: whole windows of LaBSE.encode
_CHECKED = 3  # sentences whose given embeddings are compared with the model's
# Cosines of one model's embeddings in other precisions are above it, of other models' below.
_SAME = 0.98
_COUNTED = re.compile(r"([\d,]+) of [\d,]+ sentences ")
_log = logging.getLogger(__name__)


def embed_side(
    side: Side, encode: Encode, path: str, dtype: str, show_progress: bool | None = None
) -> np.ndarray | Int8Rows:
    """Unit rows of a side's sentences, in a file; those of an interrupted run are not made again.

    Args:
        side: its sentences.
        encode: from a list of strings to an array [sentences, dim].
        path: of the file, which may be there, whole or begun.
        dtype: "float32", "float16", or "int8".
        show_progress: whether to draw a bar on stderr; None: if it is a terminal.

    Raises:
        OSError: the file cannot be written.
        ValueError: what `encode` returns is not a finite row a sentence.
    """
    if os.path.exists(path):
        return open_rows(path)
    what = f"the {side.name}s"
    embed, dim = Embed(encode), dim_of(side, encode)
    with _summed_warnings(what):
        file = EmbeddingFile(path, stored_width(dim, dtype), dtype, resume=True)
        try:
            bar = progress_bar(
                show=show_progress,
                total=len(side),
                unit=" sentences",
                unit_scale=True,
                desc=f"embedding {what}",
            )
            with bar:
                bar.update(file.rows)
                sentences = side.sentences(file.rows)
                while part := list(itertools.islice(sentences, _SENTENCES)):
                    file.append(stored_form(embed.unit(part, what), dtype))
                    bar.update(len(part))
            file.finish()
        finally:
            file.close()
    return open_rows(path)


def dim_of(side: Side, encode: Encode) -> int:
    """How long the rows are that `encode` makes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of sentences that are cut: said later
        return Embed(encode).raw(side.read(np.arange(1))[1], f"the {side.name}s").shape[1]


def given_rows(given: np.ndarray | str | os.PathLike, side: Side, place: str) -> np.ndarray:
    """Embeddings that were given for the lines of a side, those of its rows.

    Args:
        given: float32 or float16 [lines, dim], or the path of a .npy file of them.
        side: the sentences.
        place: the name of their input.

    Returns:
        float32 or float16 [rows, dim]; a memory map, if each line is a row.

    Raises:
        ValueError: they are not a row a line, or of another dtype.
        OSError: the file cannot be read.
    """
    path, rows = f"The embeddings of {place}", given
    if isinstance(given, (str, os.PathLike)):
        path = os.fspath(given)
        try:
            rows = np.load(path, mmap_mode="r")
        except (ValueError, EOFError) as error:
            raise ValueError(f"{path}: not a .npy file of numbers: {error}.") from error
    if rows.ndim != 2 or rows.dtype not in (np.float32, np.float16):
        raise ValueError(
            f"{path}: expected float32 or float16 [lines, dim], but it is {rows.dtype} "
            f"{list(rows.shape)}."
        )
    if len(rows) != side.lines:
        raise ValueError(
            f"{path}: {len(rows):,} rows, but {place} has {side.lines:,} lines: there must be a "
            "row for each line, also for those that are dropped."
        )
    lines = side.copies[side.copy_starts[:-1]] - 1
    return rows if len(lines) == len(rows) else np.take(rows, lines, axis=0)


def check_given(rows: np.ndarray, side: Side, place: str, encode: Encode) -> None:
    """Compares some given embeddings with the model's; `place` is what they are called.

    Raises:
        ValueError: they are of another model, or of other sentences.
    """
    some = np.unique(np.linspace(0, len(side) - 1, _CHECKED).astype(np.int64))
    expected = Embed(encode).unit(side.read(some)[1], place)
    if expected.shape[1] != rows.shape[1]:
        raise ValueError(
            f"{place}: its rows are of {rows.shape[1]} numbers, but the model's "
            f"embeddings of {expected.shape[1]}: they are of another model."
        )
    cosines = np.einsum("ij,ij->i", expected, _unit(np.take(rows, some, axis=0)))
    if not cosines.min() >= _SAME:
        row = some[np.argmin(cosines)]
        raise ValueError(
            f"{place}: row {side.lines_of(row)[0] - 1} is not the model's embedding of "
            f"{side.read(np.array([row]))[1][0]!r:.60} (cosine {cosines.min():.2f}): they are of "
            "another model, or of other sentences."
        )


def unit_rows(rows: np.ndarray, path: str, place: str) -> np.ndarray:
    """Given rows if they are of unit length, else a file of them at unit length.

    Raises:
        ValueError: a row holds NaN or infinity, or nothing but zeros.
    """
    if os.path.exists(path):
        return open_rows(path)
    is_unit = True
    for start in range(0, len(rows), _SENTENCES):
        norms = np.linalg.norm(rows[start : start + _SENTENCES].astype(np.float32), axis=1)
        if not (wrong := ~np.isfinite(norms) | (norms == 0)).any():
            is_unit &= bool((np.abs(norms - 1) < 2e-3).all())
            continue
        row = int(np.argmax(wrong))
        what = "nothing but zeros" if norms[row] == 0 else "NaN or infinity"
        raise ValueError(f"{place}: the embedding of sentence {start + row} holds {what}.")
    if is_unit:
        return rows
    file = EmbeddingFile(path, rows.shape[1], rows.dtype.name, resume=True)
    try:
        for start in range(file.rows, len(rows), _SENTENCES):
            file.append(_unit(rows[start : start + _SENTENCES]))
        return file.finish()
    finally:
        file.close()


def _unit(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@contextlib.contextmanager
def _summed_warnings(what: str) -> Iterator[None]:
    """What LaBSE.encode warns of, as of sentences that are cut, said once of all calls."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    counts: dict[str, int] = {}
    for message in (str(warning.message) for warning in caught):
        match = _COUNTED.match(message)
        reason = message[match.end() :] if match else message
        counts[reason] = counts.get(reason, 0) + int(match[1].replace(",", "") if match else 1)
    for reason, count in counts.items():
        _log.warning("Of %s %s %s", what, f"{count:,}", reason)
