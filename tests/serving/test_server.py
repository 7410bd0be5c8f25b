"""A release as TensorFlow Serving has it: the operations in it, and a C++ program that runs it."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import labse_tf
from labse_tf.release.batch_sizes import BATCH_SIZES
from labse_tf.release.saved_model import write_split
from labse_tf.release.warmup import WARMUP_FILE
from tests.conftest import SENTENCES
from tests.models import make_model
from tests.serving.build import build, embed, serve

LONGER = [*SENTENCES, "the cat " * 30, "x", "a\0b\nc", b"\xff\xfe \xed\xa0\x80 the"]
# What TensorFlow Serving has linked since 2.12, which took TF Text 2.12.1.
SERVED = {
    "CaseFoldUTF8",
    "FastBertNormalize",
    "FastWordpieceTokenizeWithOffsets",
    "NormalizeUTF8",
    "RegexSplitWithOffsets",
    "WordpieceTokenizeWithOffsets",
}
# Run without tensorflow_text: what is registered then is TensorFlow's own.
NOT_OF_TENSORFLOW = """
import sys
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

with open(sys.argv[1] + "/saved_model.pb", "rb") as file:
    (meta_graph,) = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs
library = meta_graph.graph_def.library.function
nodes = [*meta_graph.graph_def.node, *(node for f in library for node in f.node_def)]
ops = {node.op for node in nodes} - {f.signature.name for f in library}
assert len(ops) > 20
print(*(op for op in ops if op_def_registry.get(op) is None))
"""


@pytest.fixture(scope="module")
def model(vocab_file, vocab_size):
    return make_model(vocab_file, vocab_size)


@pytest.fixture(scope="module")
def release(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("serving") / "release"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    if not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("needs a C++ compiler")
    return build(tmp_path_factory.mktemp("program"))


def foreign_ops(path):
    process = subprocess.run(
        [sys.executable, "-c", NOT_OF_TENSORFLOW, str(path)], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return {op.removeprefix("TFText>") for op in process.stdout.split()}


def test_every_operation_is_linked_by_tensorflow_serving(model, release, vocab_file, tmp_path):
    cased = foreign_ops(release)
    assert {"RegexSplitWithOffsets", "WordpieceTokenizeWithOffsets"} <= cased <= SERVED
    uncased = labse_tf.LaBSE(labse_tf.Preprocessor(vocab_file, 24, lower_case=True), model.encoder)
    uncased.save(tmp_path / "uncased")
    assert cased < foreign_ops(tmp_path / "uncased") <= SERVED
    write_split(tmp_path / "split", model.preprocessor, model.encoder)
    assert foreign_ops(tmp_path / "split" / "encoder") == set()
    assert foreign_ops(tmp_path / "split" / "preprocessor") == cased


def test_an_operation_that_is_not_linked_is_noticed(tmp_path):
    text = pytest.importorskip("tensorflow_text")
    root = tf.train.Checkpoint()
    root.trim = tf.function(
        lambda x: text.RoundRobinTrimmer(3).trim([x])[0].flat_values,
        input_signature=[tf.RaggedTensorSpec([None, None], tf.int32)],
    )
    tf.saved_model.save(root, str(tmp_path / "trimmer"))
    assert "RoundRobinTrim" in foreign_ops(tmp_path / "trimmer")


def test_equal_to_python(program, release, model):
    expected = tf.saved_model.load(str(release))(tf.constant(LONGER)).numpy()
    np.testing.assert_allclose(np.linalg.norm(expected, axis=1), 1, atol=1e-5)
    (found,) = embed(program, release, LONGER)
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)
    np.testing.assert_allclose(found[: len(SENTENCES)], model.encode(SENTENCES), atol=1e-6, rtol=0)


def test_eight_threads_at_once(program, release):
    expected = tf.saved_model.load(str(release))(tf.constant(LONGER * 10)).numpy()
    for found in embed(program, release, LONGER * 10, threads=8):
        np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)


def test_warmup_requests_run(program, release):
    process = serve(program, release, "warmup")
    assert process.returncode == 0, process.stderr.decode()[-3000:]
    expected = [f"serving_default {size}" for size in (*BATCH_SIZES, 1)] + ["token_ids 1"]
    assert process.stdout.decode().splitlines() == expected


def test_load_is_measured(program, release):
    process = serve(program, release, "load", 1, 20, 8, 40, sentences=SENTENCES)
    assert process.returncode == 0, process.stderr.decode()[-3000:]
    one, eight = map(json.loads, process.stdout.decode().splitlines())
    assert (one["clients"], one["requests"]) == (1, 20)
    assert (eight["clients"], eight["requests"]) == (8, 40)
    for measured in (one, eight):
        assert 0 < measured["p50_ms"] <= measured["p99_ms"]
        # Clients times a second is what all requests took, and a median is at most twice a mean.
        assert measured["per_second"] * measured["p50_ms"] / 1000 < 2 * measured["clients"]


def test_what_cannot_be_loaded(program, release, tmp_path):
    process = serve(program, release, "embed", 1, libraries="")
    assert process.returncode == 2 and b"Op type not registered" in process.stderr
    assert serve(program, tmp_path, "embed", 1).returncode == 2
    # Without variables TensorFlow loads what there is: the first request, a warm-up one, fails.
    for part, step in (("variables/variables.index", b"run"), ("assets/vocab.txt", b"load")):
        broken = tmp_path / part.replace("/", "-")
        shutil.copytree(release, broken)
        (broken / part).unlink()
        process = serve(program, broken, "embed", 1, sentences=["x"])
        assert process.returncode == 2 and b"error: " + step in process.stderr
    shutil.copytree(release, tmp_path / "cold")
    (tmp_path / "cold" / WARMUP_FILE).write_bytes(b"\0" * 40)
    process = serve(program, tmp_path / "cold", "warmup")
    assert process.returncode == 2 and b"error: warm-up" in process.stderr
