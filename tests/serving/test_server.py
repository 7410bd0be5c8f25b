"""A release as TensorFlow Serving has it: the operations in it, and a C++ program that runs it."""

import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text

import labse_tf
from labse_tf.release.batch_sizes import BATCH_SIZES
from labse_tf.release.saved_model import write_split
from labse_tf.release.warmup import WARMUP_FILE
from tests.conftest import SENTENCES
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

for path in sys.argv[1:]:
    with open(path + "/saved_model.pb", "rb") as file:
        (meta_graph,) = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs
    library = meta_graph.graph_def.library.function
    nodes = [*meta_graph.graph_def.node, *(node for f in library for node in f.node_def)]
    ops = {node.op for node in nodes} - {f.signature.name for f in library}
    assert len(ops) > 20
    print(*(op for op in ops if op_def_registry.get(op) is None))
"""


@pytest.fixture(scope="module")
def program():
    if not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("needs a C++ compiler")
    return build()


@pytest.fixture(scope="module")
def foreign_ops(model, release, vocab_file, tmp_path_factory):
    """The operations of SavedModels that TensorFlow alone does not have."""
    folder = tmp_path_factory.mktemp("foreign")
    config = dataclasses.replace(model.encoder.config, num_layers=0)
    uncased = labse_tf.Preprocessor(vocab_file, 24, lower_case=True)
    labse_tf.LaBSE(uncased, labse_tf.Encoder(config)).save(folder / "uncased")
    other = labse_tf.Preprocessor(vocab_file, 24, True, tokenization="hugging-face")
    labse_tf.LaBSE(other, labse_tf.Encoder(config)).save(folder / "hugging-face")
    write_split(folder / "split", model.preprocessor, model.encoder)
    trimmer = tf.train.Checkpoint()
    trimmer.trim = tf.function(
        lambda x: tensorflow_text.RoundRobinTrimmer(3).trim([x])[0].flat_values,
        input_signature=[tf.RaggedTensorSpec([None, None], tf.int32)],
    )
    tf.saved_model.save(trimmer, str(folder / "trimmer"))
    names = ("uncased", "hugging-face", "split/encoder", "split/preprocessor", "trimmer")
    paths = [release, *(folder / name for name in names)]
    process = subprocess.run(
        [sys.executable, "-c", NOT_OF_TENSORFLOW, *map(str, paths)], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr[-3000:]
    found = [line.split() for line in process.stdout.splitlines()]
    return {
        name: {op.removeprefix("TFText>") for op in ops}
        for name, ops in zip(("cased", *names), found, strict=True)
    }


def test_every_operation_is_linked_by_tensorflow_serving(foreign_ops):
    cased = foreign_ops["cased"]
    assert {"RegexSplitWithOffsets", "FastWordpieceTokenizeWithOffsets"} <= cased <= SERVED
    assert cased < foreign_ops["uncased"] <= SERVED
    assert cased < foreign_ops["hugging-face"] <= SERVED
    assert foreign_ops["split/encoder"] == set()
    assert foreign_ops["split/preprocessor"] == cased


def test_an_operation_that_is_not_linked_is_noticed(foreign_ops):
    assert "RoundRobinTrim" in foreign_ops["trimmer"]


@pytest.fixture(scope="module")
def served(release):
    return tf.saved_model.load(str(release))


def test_equal_to_python(program, release, served, model):
    expected = served(tf.constant(LONGER)).numpy()
    np.testing.assert_allclose(np.linalg.norm(expected, axis=1), 1, atol=1e-5)
    (found,) = embed(program, release, LONGER)
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)
    np.testing.assert_allclose(found[: len(SENTENCES)], model.encode(SENTENCES), atol=1e-6, rtol=0)


def test_eight_threads_at_once(program, release, served):
    expected = served(tf.constant(LONGER * 10)).numpy()
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
    shutil.copytree(release, tmp_path / "broken")
    (tmp_path / "broken" / "variables" / "variables.index").unlink()
    process = serve(program, tmp_path / "broken", "embed", 1, sentences=["x"])
    assert process.returncode == 2 and b"error: run" in process.stderr
    shutil.copytree(release, tmp_path / "cold")
    (tmp_path / "cold" / WARMUP_FILE).write_bytes(b"\0" * 40)
    process = serve(program, tmp_path / "cold", "warmup")
    assert process.returncode == 2 and b"error: warm-up" in process.stderr
