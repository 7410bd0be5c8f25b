"""Whoever reads a release, each in a process of its own, gets the same embeddings.

A Keras 3 user is in tests/test_keras3.py.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import SENTENCES
from tests.fresh import fresh
from tests.serving.build import build, embed

ROOT = Path(__file__).parents[2]
LONGER = [*SENTENCES, "the cat " * 30, "x"]
# saved_model_cli knows the text operations only in a process that imported tensorflow_text.
SAVED_MODEL_CLI = (
    "import tensorflow_text; from tensorflow.python.tools.saved_model_cli import main; main()"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("consumers")
    (folder / "sentences.json").write_text(json.dumps(LONGER))
    (folder / "sentences.txt").write_text("\n".join(LONGER) + "\n", encoding="utf-8")
    return folder


def run(folder, *command):
    process = fresh(*command, cwd=folder)
    assert process.returncode == 0, process.stderr[-4000:]


@pytest.fixture(scope="module")
def embeddings(release, folder):
    """What `labse encode` gives."""
    command = ["-m", "labse_tf.commands.main", "encode", "sentences.txt", "--model", release]
    run(folder, *command, "--output", "encoded.npy")
    return np.load(folder / "encoded.npy")


def test_tf_hub_samples_and_the_keras_2_classifier(release, folder, embeddings):
    program = ROOT / "tests" / "consumers" / "tf_hub_samples.py"
    parts = [f"{release}:encoder", f"{release}:preprocessor"]
    run(folder, program, *parts, "sentences.json", "hub.npz")
    with np.load(folder / "hub.npz") as seen:
        np.testing.assert_allclose(seen["LaBSE/2"], embeddings, atol=1e-6, rtol=0)
        pooled = seen["classifier/pooled before"]
        pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
        np.testing.assert_allclose(pooled, embeddings, atol=1e-6, rtol=0)
        assert seen["classifier/accuracy"] == 1 and seen["classifier/moved"].min() > 1e-4


def test_saved_model_cli(release, folder, embeddings):
    run(
        folder, "-c", SAVED_MODEL_CLI, "run", "--dir", release,
        "--tag_set", "serve", "--signature_def", "serving_default",
        "--input_exprs", f"sentences={LONGER!r}", "--outdir", "cli",
    )  # fmt: skip
    found = np.load(folder / "cli" / "embeddings.npy")
    np.testing.assert_allclose(found, embeddings, atol=1e-6, rtol=0)


def test_the_program_without_python(release, embeddings):
    if not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("needs a C++ compiler")
    (found,) = embed(build(), release, LONGER)
    np.testing.assert_allclose(found, embeddings, atol=1e-6, rtol=0)
