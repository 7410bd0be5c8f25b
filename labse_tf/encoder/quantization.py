"""Word embeddings in 8 bits: rows of int8, with a float32 scale for every 64 numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf

from labse_tf.encoder.layers import Embeddings, scales_of_a_row
from labse_tf.encoder.weights import assign, chunks_of, rows_of

INT8 = "int8"
_LARGEST = 127
_SMALLEST = 1e-30  # smaller numbers are 0: what a scale is divided by would overflow


def scales_of(rows: np.ndarray) -> np.ndarray:
    """The scales of rows, float32 [rows, parts]: a part's largest magnitude is 127 times that.

    Args:
        rows: float32 [rows, hidden].
    """
    largest = np.max(np.abs(_in_parts(rows)), axis=2)
    return np.where(largest > _SMALLEST, largest / _LARGEST, 1).astype(np.float32)


def copy_words(source: Embeddings, target: Embeddings) -> None:
    """Assigns to a table of words the rows of another one, whatever each is stored in."""
    if source.word_scale is None and target.word_scale is None:
        target.word.assign(tf.cast(source.word.value(), target.word.dtype))
        return
    if target.word_scale is None:
        # Chunk by chunk: a table in float32 is not held twice.
        as_float32 = target.word.dtype == tf.float32
        rows = target.word if as_float32 else tf.Variable(tf.zeros(target.word.shape))
        assign(rows, lambda array: _fill(array, _float_rows(source)))
        if not as_float32:
            target.word.assign(tf.cast(rows.value(), target.word.dtype))
        return
    scales = [scales_of(rows) for rows in _float_rows(source)]
    target.word_scale.assign(np.concatenate(scales))
    integers = (
        np.rint(_scaled(rows, 1 / scale))
        for rows, scale in zip(_float_rows(source), scales, strict=True)
    )
    assign(target.word, lambda array: _fill(array, integers))


def _fill(array: np.ndarray, chunks: Iterable[np.ndarray]) -> None:
    start = 0
    for rows in chunks:
        array[start : start + len(rows)] = rows
        start += len(rows)


def _float_rows(embeddings: Embeddings) -> Iterator[np.ndarray]:
    """The rows of a table in float32, in chunks."""
    scales = None if embeddings.word_scale is None else embeddings.word_scale.numpy()
    for (start, end), rows in zip(chunks_of(embeddings.word.shape), rows_of(embeddings.word)):
        rows = rows.astype(np.float32)
        yield rows if scales is None else _scaled(rows, scales[start:end])


def _in_parts(rows: np.ndarray) -> np.ndarray:
    """[rows, hidden] -> [rows, parts, numbers of a part]."""
    return rows.reshape(len(rows), scales_of_a_row(rows.shape[1]), -1)


def _scaled(rows: np.ndarray, scales: np.ndarray) -> np.ndarray:
    return (_in_parts(rows) * scales[:, :, np.newaxis]).reshape(rows.shape)
