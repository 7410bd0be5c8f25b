"""Warm-up requests: what TensorFlow Serving runs before it serves a version."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence

import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from labse_tf.encoder.encoder import INPUTS
from labse_tf.release.batch_sizes import BATCH_SIZES

WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")
MOST_REQUESTS = 1000  # TensorFlow Serving refuses to load a model with more
# What TensorFlow raises for them.
_ERRNO = {tf.errors.ResourceExhaustedError: errno.ENOSPC, tf.errors.OutOfRangeError: errno.EFBIG}
SENTENCES = (
    "Hello, world!",
    "Wo ist der Bahnhof?",
    "我想买一张去北京的火车票。",
    "Мы вернёмся домой, как только закончится дождь.",
    "أين يمكنني أن أجد طبيباً يتحدث الإنجليزية؟",
    "La traduction automatique a besoin de beaucoup de phrases alignées.",
    "यह किताब मेरी बहन ने मुझे जन्मदिन पर दी थी।",
    "The committee will publish its report on the first Monday of the month.",
)


def write_warmup(path: str | os.PathLike, batch_sizes: Sequence[int] = BATCH_SIZES) -> None:
    """Writes the warm-up requests of a release, in place of those that are there.

    Of each batch size there is a request of short sentences; then one of a single text that is
    longer than any `seq_length` of BERT, and one of token ids. So the first client does not wait
    for what TensorFlow prepares for a signature, and oneDNN for a shape.

    Args:
        path: the SavedModel's directory.
        batch_sizes: sentences in a request.

    Raises:
        OSError: they could not be written, as on a full disk; it names the file.
        ValueError: no batch size, one below 1, or more requests than TensorFlow Serving takes.
    """
    if not batch_sizes or min(batch_sizes) < 1 or len(batch_sizes) > MOST_REQUESTS - 2:
        raise ValueError(
            f"`batch_sizes` (={list(batch_sizes)}) must be 1 to {MOST_REQUESTS - 2} "
            "numbers above 0."
        )
    file_name = os.path.join(path, WARMUP_FILE)
    os.makedirs(os.path.dirname(file_name), exist_ok=True)
    batches = [[SENTENCES[i % len(SENTENCES)] for i in range(size)] for size in batch_sizes]
    ids = {name: tf.ones([1, 8], tf.int32) for name in INPUTS}
    try:
        with tf.io.TFRecordWriter(file_name) as file:
            for texts in [*batches, [" ".join(SENTENCES * 8)]]:
                file.write(_prediction_log("serving_default", {"sentences": tf.constant(texts)}))
            file.write(_prediction_log("token_ids", ids))
    except tf.errors.OpError as error:
        raise OSError(_ERRNO.get(type(error), errno.EIO), error.message, file_name) from error


def _prediction_log(signature: str, inputs: Mapping[str, tf.Tensor]) -> bytes:
    """A tensorflow.serving.PredictionLog with this predict request.

    Written by hand, so that every release has warm-up requests, and not only those of users who
    have tensorflow-serving-api: three nested messages with one or two fields each.
    """
    model_spec = _field(3, signature.encode())  # ModelSpec.signature_name
    request = _field(1, model_spec)  # PredictRequest.model_spec
    for name, value in inputs.items():  # PredictRequest.inputs, a map: messages of key and value
        proto: tensor_pb2.TensorProto = tf.make_tensor_proto(value)
        request += _field(2, _field(1, name.encode()) + _field(2, proto.SerializeToString()))
    return _field(6, _field(1, request))  # PredictionLog.predict_log, PredictLog.request


def _field(number: int, value: bytes) -> bytes:
    """A length-delimited field in protocol buffers' wire format."""
    length, varint = len(value), bytearray()
    while length > 127:
        varint.append(length & 127 | 128)
        length >>= 7
    return bytes([number << 3 | 2, *varint, length]) + value
