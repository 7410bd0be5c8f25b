"""Warm-up requests, read with TensorFlow Serving's own messages."""

import errno

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from labse_tf.release.batch_sizes import BATCH_SIZES
from labse_tf.release.warmup import SENTENCES, WARMUP_FILE, write_warmup


def requests(path):
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(path / WARMUP_FILE))
    ]
    assert all(log.WhichOneof("log_type") == "predict_log" for log in logs)
    return [log.predict_log.request for log in logs]


def test_a_request_of_every_batch_size(tmp_path):
    write_warmup(tmp_path, [1, 3, 40])
    *batches, long, ids = requests(tmp_path)
    for size, request in zip([1, 3, 40], batches, strict=True):
        assert request.model_spec.signature_name == "serving_default"
        (sentences,) = (tf.make_ndarray(tensor) for tensor in request.inputs.values())
        assert list(request.inputs) == ["sentences"]
        assert [s.decode() for s in sentences] == [SENTENCES[i % 8] for i in range(size)]
    (sentence,) = tf.make_ndarray(long.inputs["sentences"])
    assert len(sentence.decode().split()) > 300
    assert ids.model_spec.signature_name == "token_ids"
    assert sorted(ids.inputs) == ["input_mask", "input_type_ids", "input_word_ids"]
    for tensor in ids.inputs.values():
        np.testing.assert_array_equal(tf.make_ndarray(tensor), np.ones([1, 8], np.int32))


def test_the_bytes_are_those_of_protocol_buffers(tmp_path):
    """Sizes about 127 and 16,383, where the length takes another byte."""
    for size in (1, 2, 5, 60, 7000):
        write_warmup(tmp_path, [size])
        record = next(iter(tf.data.TFRecordDataset(str(tmp_path / WARMUP_FILE)))).numpy()
        request = predict_pb2.PredictRequest()
        request.model_spec.signature_name = "serving_default"
        sentences = tf.constant([SENTENCES[i % 8] for i in range(size)])
        request.inputs["sentences"].CopyFrom(tf.make_tensor_proto(sentences))
        log = prediction_log_pb2.PredictionLog()
        log.predict_log.request.CopyFrom(request)
        assert record == log.SerializeToString(deterministic=True)


def test_a_release_has_them(release, model):
    served = tf.saved_model.load(str(release))
    answers = []
    for request in requests(release):
        inputs = {name: tf.constant(tf.make_ndarray(t)) for name, t in request.inputs.items()}
        answers.append(served.signatures[request.model_spec.signature_name](**inputs))
    assert [len(a["embeddings"]) for a in answers] == [*BATCH_SIZES, 1, 1]
    np.testing.assert_allclose(answers[3]["embeddings"], model.encode(list(SENTENCES)), atol=1e-6)


@pytest.mark.parametrize("sizes", [[], [0, 1], [-1], range(1, 1000)])
def test_sizes_that_make_no_sense(tmp_path, sizes):
    with pytest.raises(ValueError, match="batch_sizes"):
        write_warmup(tmp_path, sizes)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk(tmp_path, monkeypatch):
    """An OSError that names the file, also where TensorFlow says "out of range" (EFBIG)."""
    for error, number in (
        (tf.errors.OutOfRangeError, errno.EFBIG),
        (tf.errors.ResourceExhaustedError, errno.ENOSPC),
        (tf.errors.InternalError, errno.EIO),
    ):

        def write(self, record, error=error):
            raise error(None, None, "no room")

        monkeypatch.setattr(tf.io.TFRecordWriter, "write", write)
        with pytest.raises(OSError, match="no room") as raised:
            write_warmup(tmp_path)
        assert raised.value.errno == number
        assert raised.value.filename == str(tmp_path / WARMUP_FILE)
