"""Embeddings that a user gives for the lines of a side: read, checked, and normalized."""

from __future__ import annotations

import os

import numpy as np

from labse_tf.evaluation.benchmarks.embedding import Embed
from labse_tf.files.embeddings import EmbeddingFile
from labse_tf.mining.embedding import EMBEDDED_AT_ONCE, Encode, some_rows
from labse_tf.mining.rows import Rows, SelectedRows, open_rows
from labse_tf.mining.sides import Side

# Cosines of one model's embeddings in other precisions are above it, of other models' below.
_SAME = 0.98
_NPY, _ZIP = b"\x93NUMPY", b"PK"  # the first bytes of a file


def given_rows(
    given: np.ndarray | str | os.PathLike, side: Side, place: str
) -> np.ndarray | SelectedRows:
    """Embeddings that were given for the lines of a side, those of its rows.

    Args:
        given: float32 or float16 [lines, dim], or the path of a .npy file of them.
        side: the sentences.
        place: the name of their input.

    Returns:
        float32 or float16 [rows, dim], which are read when they are used.

    Raises:
        ValueError: they are not a row a line, or of another dtype.
        OSError: the file cannot be read.
    """
    path, rows = f"The embeddings of {place}", given
    if isinstance(given, (str, os.PathLike)):
        path = os.fspath(given)
        rows = _read_npy(path)
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
    return rows if len(lines) == len(rows) else SelectedRows(rows, lines)


def _read_npy(path: str) -> np.ndarray:
    """Return the array of a .npy file, as a memory map."""
    with open(path, "rb") as file:
        start = file.read(len(_NPY))
    if start.startswith(_ZIP):
        raise ValueError(
            f"{path}: an .npz archive, not a .npy file. Write the array that it holds with "
            "numpy.save."
        )
    if start != _NPY:
        raise ValueError(
            f"{path}: not a .npy file. If it holds raw float32 numbers, as LASER and vecalign "
            "write them, convert it: numpy.save(NPY, numpy.fromfile(FILE, "
            "numpy.float32).reshape(-1, DIM))."
        )
    try:
        return np.load(path, mmap_mode="r")
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: a damaged .npy file, or not one of numbers: {error}.") from error


def check_given(rows: np.ndarray | SelectedRows, side: Side, place: str, encode: Encode) -> None:
    """Compares some given embeddings with the model's; `place` is what they are called.

    Raises:
        ValueError: they are of another model, or of other sentences.
    """
    some = some_rows(side)
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


def unit_rows(rows: np.ndarray | SelectedRows, path: str, place: str) -> Rows:
    """Given rows if they are of unit length, else a file of them at unit length.

    Raises:
        ValueError: a row holds NaN or infinity, or nothing but zeros.
    """
    if os.path.exists(path):
        return open_rows(path)
    is_unit = True
    for start in range(0, len(rows), EMBEDDED_AT_ONCE):
        norms = np.linalg.norm(rows[start : start + EMBEDDED_AT_ONCE].astype(np.float32), axis=1)
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
        for start in range(file.rows, len(rows), EMBEDDED_AT_ONCE):
            file.append(_unit(rows[start : start + EMBEDDED_AT_ONCE]))
        return file.finish()
    finally:
        file.close()


def _unit(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
