"""Everyone who reads a release, each in a process of their own, gets the same embeddings."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import SENTENCES
from tests.models import make_model
from tests.serving.build import build, embed

ROOT = Path(__file__).parents[2]
LONGER = [*SENTENCES, "the cat " * 30, "x"]
# saved_model_cli knows the text operations only in a process that imported tensorflow_text.
SAVED_MODEL_CLI = (
    "import tensorflow_text; from tensorflow.python.tools.saved_model_cli import main; main()"
)


@pytest.fixture(scope="module")
def release(vocab_file, vocab_size, tmp_path_factory):
    path = tmp_path_factory.mktemp("consumers") / "release"
    make_model(vocab_file, vocab_size).save(path)
    (path.parent / "sentences.json").write_text(json.dumps(LONGER))
    return path


@pytest.fixture(scope="module")
def embeddings(release):
    """What `labse encode` gives."""
    (release.parent / "sentences.txt").write_text("\n".join(LONGER) + "\n", encoding="utf-8")
    command = [Path(sys.executable).parent / "labse", "encode", "sentences.txt"]
    run(release, *command, "--model", release, "--output", "encoded.npy")
    return np.load(release.parent / "encoded.npy")


def run(release, *command):
    process = subprocess.run(
        [str(part) for part in command],
        cwd=release.parent, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.returncode == 0, process.stderr[-4000:]
    return process.stdout


def test_tf_hub_samples_and_the_keras_2_classifier(release, embeddings):
    program = ROOT / "tests" / "consumers" / "tf_hub_samples.py"
    parts = [f"{release}:encoder", f"{release}:preprocessor"]
    run(release, sys.executable, program, *parts, "sentences.json", "hub.npz")
    with np.load(release.parent / "hub.npz") as seen:
        np.testing.assert_allclose(seen["LaBSE/2"], embeddings, atol=1e-6, rtol=0)
        pooled = seen["classifier/pooled before"]
        pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
        np.testing.assert_allclose(pooled, embeddings, atol=1e-6, rtol=0)
        assert seen["classifier/accuracy"] == 1 and seen["classifier/moved"].min() > 1e-4


def test_the_keras_3_classifier(release, embeddings):
    program = ROOT / "tests" / "consumers" / "keras3_classifier.py"
    run(release, sys.executable, program, release, "sentences.json", "keras3.npz")
    with np.load(release.parent / "keras3.npz") as seen:
        for name in ("layer", "ids", "functional ids", "mixed"):
            np.testing.assert_allclose(seen[name], embeddings, atol=1e-6, rtol=0)
        assert seen["loose/accuracy"] == 1 and seen["loose/moved"].min() > 1e-4


def test_saved_model_cli(release, embeddings):
    run(
        release, sys.executable, "-c", SAVED_MODEL_CLI, "run", "--dir", release,
        "--tag_set", "serve", "--signature_def", "serving_default",
        "--input_exprs", f"sentences={LONGER!r}", "--outdir", "cli",
    )  # fmt: skip
    found = np.load(release.parent / "cli" / "embeddings.npy")
    np.testing.assert_allclose(found, embeddings, atol=1e-6, rtol=0)


def test_the_program_without_python(release, embeddings, tmp_path):
    if not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("needs a C++ compiler")
    (found,) = embed(build(tmp_path), release, LONGER)
    np.testing.assert_allclose(found, embeddings, atol=1e-6, rtol=0)
