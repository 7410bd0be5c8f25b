"""Token ids of sentences in rows of one width, as BERT reads them."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


def pack(
    segments: Sequence[tf.RaggedTensor],
    seq_length: int | tf.Tensor,
    *,
    start_id: int,
    end_id: int,
    padding_id: int,
) -> dict[str, tf.Tensor]:
    """Packs one or two segments: `[CLS] pieces [SEP]`, or `[CLS] pieces [SEP] pieces [SEP]`.

    What does not fit is cut as `tensorflow_text.RoundRobinTrimmer` cuts it: each of two segments
    gets half of the room, the first the odd place, and what one does not need goes to the other.
    Written with core TensorFlow ops, since the trimmer's own op is not linked by TensorFlow Serving
    2.12 to 2.19.

    Args:
        segments: one or two RaggedTensors, int32 [batch, (pieces)].
        seq_length: width of the result, at least 3.
        start_id, end_id, padding_id: of [CLS], [SEP] and [PAD].

    Returns:
        dict of int32 [batch, seq_length]; the width is static when `seq_length` is an int.

    Raises:
        ValueError: not one or two segments, or `seq_length` leaves no room.
    """
    if len(segments) not in (1, 2):
        raise ValueError(f"Can pack one or two segments, but got {len(segments)}.")
    if not tf.is_tensor(seq_length):
        seq_length = checked_seq_length(seq_length)
    room = tf.maximum(0, seq_length - len(segments) - 1)
    lengths = [tf.cast(segment.row_lengths(), tf.int32) for segment in segments]
    if len(segments) == 1:
        lengths = [tf.minimum(lengths[0], room)]
    else:
        first, second = lengths
        tf.debugging.assert_equal(
            tf.size(first), tf.size(second), "The two segments differ in their batch size."
        )
        lengths = [
            tf.minimum(first, tf.maximum((room + 1) // 2, room - second)),
            tf.minimum(second, tf.maximum(room // 2, room - first)),
        ]
    position = tf.range(seq_length)[tf.newaxis, :]
    start = 1  # where the next segment begins, an int or int32 [batch, 1]
    ids = tf.where(position == 0, start_id, padding_id)
    types = tf.zeros_like(position)
    for index, (segment, length) in enumerate(zip(segments, lengths, strict=True)):
        length = length[:, tf.newaxis]
        offset = position - start
        if index == 0:  # begins in the same column in every row
            pieces = tf.pad(_to_dense(segment, seq_length - 1), [[0, 0], [1, 0]])
        else:
            pieces = _gather_in_rows(_to_dense(segment, seq_length), offset)
        ids = tf.where((offset >= 0) & (offset < length), pieces, ids)
        ids = tf.where(offset == length, end_id, ids)
        types = tf.where((offset >= 0) & (offset <= length), index, types)
        start = start + length + 1
    mask = tf.cast(position < start, tf.int32)
    packed = dict(input_word_ids=ids, input_mask=mask, input_type_ids=types)
    if not tf.is_tensor(seq_length):
        packed = {k: tf.ensure_shape(v, [None, seq_length]) for k, v in packed.items()}
    return packed


def checked_seq_length(seq_length: int) -> int:
    """The length as an int.

    Raises:
        ValueError: it is below 3.
    """
    if seq_length < 3:
        raise ValueError(
            f"`seq_length` (={seq_length}) must be at least 3: [CLS], a word piece and [SEP]."
        )
    return int(seq_length)


def _to_dense(ragged: tf.RaggedTensor, width: int | tf.Tensor) -> tf.Tensor:
    """[batch, (n)] -> [batch, width], cut or filled with zeros."""
    if not tf.is_tensor(width):
        return ragged.to_tensor(shape=[None, width])
    dense = ragged.to_tensor()[:, :width]
    return tf.pad(dense, [[0, 0], [0, width - tf.shape(dense)[1]]])


def _gather_in_rows(rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """rows[i, columns[i, j]] for columns [batch or 1, n]; those out of range give anything."""
    columns = tf.clip_by_value(columns, 0, tf.shape(rows)[1] - 1)
    columns = tf.broadcast_to(columns, tf.stack([tf.shape(rows)[0], tf.shape(columns)[1]]))
    return tf.gather(rows, columns, batch_dims=1)
