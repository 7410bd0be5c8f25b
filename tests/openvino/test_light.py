"""Releases embedded without TensorFlow, in a process that cannot import it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import labse_tf
from labse_tf.files.journals import ResumeError
from labse_tf.inference.light import LightLaBSE, is_light
from labse_tf.inference.model import LaBSE
from tests.conftest import SENTENCES
from tests.models import SEQ_LENGTH

ROOT = Path(__file__).parents[2]
TEXTS = [*SENTENCES, "", "Tom. the cat, a\u00ad b", "a " * 40, "☃ ☃", "the cat " * 30]
BLOCKED = """
import sys
for name in ("tensorflow", "tensorflow_text", "tf_keras", "keras", "tensorflow_hub"):
    sys.modules[name] = None  # importing it raises ImportError
"""
pytestmark = pytest.mark.filterwarnings("ignore:.*(were cut|nothing but)")


def without_tensorflow(code, *arguments):
    process = subprocess.run(
        [sys.executable, "-c", BLOCKED + code, *map(str, arguments)],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.returncode == 0, process.stderr[-4000:]
    return process.stdout


def test_without_tensorflow(model, release, tmp_path):
    (tmp_path / "texts.json").write_text(json.dumps(TEXTS))
    out = without_tensorflow(
        """
import json, warnings
import numpy as np
import labse_tf
warnings.simplefilter("ignore")
texts = json.load(open(sys.argv[2]))
model = labse_tf.load(sys.argv[1], backend="openvino")
rows = {f"{p}/{l}": model.encode(texts, precision=p, long=l)
        for p in ("float32", "bfloat16", "int8") for l in ("cut", "mean")}
np.savez(sys.argv[3], **rows)
print(model.dim, model.seq_length, model.compute_dtype)
""",
        release, tmp_path / "texts.json", tmp_path / "found.npz",
    )  # fmt: skip
    assert out.split() == ["16", str(SEQ_LENGTH), "float32"]
    with np.load(tmp_path / "found.npz") as found:
        for long in ("cut", "mean"):
            expected = model.encode(TEXTS, long=long)
            np.testing.assert_allclose(found[f"float32/{long}"], expected, atol=1e-5)
            for precision, least in (("bfloat16", 0.9995), ("int8", 0.995)):
                rows = found[f"{precision}/{long}"]
                assert np.sum(rows * expected, axis=1).min() > least
                assert np.abs(rows - found[f"float32/{long}"]).max() > 1e-5


def test_rows_of_another_backend_are_not_resumed(model, release, tmp_path):
    def failing():
        yield from TEXTS[:5]
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        model.encode(failing(), output=tmp_path / "x.npy")
    light = labse_tf.load(release, backend="openvino")
    # The model is the same one, whatever runs it.
    with pytest.raises(ResumeError, match=r"resumed: backend was 'tensorflow' and is now 'openv"):
        light.encode(TEXTS, output=tmp_path / "x.npy", resume=True)


def test_the_command(model, release, tmp_path):
    (tmp_path / "s.txt").write_text("\n".join(SENTENCES) + "\n", encoding="utf-8")
    without_tensorflow(
        """
from labse_tf.commands.main import main
main(["encode", sys.argv[1], "--output", sys.argv[2], "--model", sys.argv[3],
      "--backend", "openvino"])
""",
        tmp_path / "s.txt", tmp_path / "x.npy", release,
    )  # fmt: skip
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), model.encode(SENTENCES), atol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_stored_in_other_dtypes(model, tmp_path, dtype):
    model.save(tmp_path / "release", weights_dtype=dtype)
    light = labse_tf.load(tmp_path / "release", backend="openvino")
    assert isinstance(light, LightLaBSE)
    expected = labse_tf.load(tmp_path / "release").encode(TEXTS)
    np.testing.assert_allclose(light.encode(TEXTS), expected, atol=1e-5)
    assert np.sum(light.encode(TEXTS, precision="int8") * expected, axis=1).min() > 0.995


def test_labse_mini():
    light, full = labse_tf.load(backend="openvino"), labse_tf.load()
    assert isinstance(light, LightLaBSE)
    sentences = (ROOT / "training/sample/twenty.txt").read_text(encoding="utf-8").splitlines()
    np.testing.assert_allclose(light.encode(sentences), full.encode(sentences), atol=2e-6)


def test_what_needs_tensorflow_comes_when_it_is_asked_for(model, release, tmp_path):
    light = labse_tf.load(release, backend="openvino")
    assert "_model" not in vars(light)
    assert light.preprocessor.options == model.preprocessor.options
    assert light.encoder.config == model.encoder.config
    light.save(tmp_path / "again")
    again = labse_tf.load(tmp_path / "again")
    np.testing.assert_array_equal(again.encode(SENTENCES), model.encode(SENTENCES))


def test_lower_case_is_tokenised_by_tensorflow(model, release, tmp_path):
    shutil.copytree(release, tmp_path / "lower")
    configuration = tmp_path / "lower" / "assets" / "labse.json"
    content = json.loads(configuration.read_text()) | {"lower_case": True}
    configuration.write_text(json.dumps(content))
    assert not is_light(str(tmp_path / "lower"))
    fast = labse_tf.load(tmp_path / "lower", backend="openvino")
    assert isinstance(fast, LaBSE)
    expected = model.encode(["the cat"])
    np.testing.assert_allclose(fast.encode(["THE CAT"]), expected, atol=1e-5)
    half = labse_tf.load(tmp_path / "lower", backend="openvino", precision="int8")
    assert np.sum(half.encode(["THE CAT"]) * expected) > 0.995


def test_what_is_not_whole(release, tmp_path):
    shutil.copytree(release, tmp_path / "a")
    vocabulary = tmp_path / "a" / "assets" / "vocab.txt"
    vocabulary.write_text("".join(vocabulary.read_text(encoding="utf-8").splitlines(True)[:-1]))
    with pytest.raises(ValueError, match=r"is no whole release: .* word embeddings"):
        labse_tf.load(tmp_path / "a", backend="openvino")
    shutil.copytree(release, tmp_path / "b")
    for file in (tmp_path / "b" / "variables").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match="not the index of a checkpoint"):
        labse_tf.load(tmp_path / "b", backend="openvino")


def test_int8_is_openvinos_alone(model, release):
    with pytest.raises(
        ValueError, match=r"`precision` \(='int8'\) must be .*Add backend=\"openvino\""
    ):
        labse_tf.load(release, precision="int8")
    with pytest.raises(ValueError, match=r"`precision` \(='int8'\)"):
        model.encode(["a"], precision="int8")
    with pytest.raises(ValueError, match=r"`precision` \(='float16'\)"):
        labse_tf.load(release, backend="openvino").encode(["a"], precision="float16")
