"""Models of Kaggle: what is a handle, and what is fetched, by a library that stands in."""

import sys
import types

import numpy as np
import pytest

import labse_tf
from labse_tf.pretrained.kaggle import handle_of


@pytest.mark.parametrize(
    ("source", "handle"),
    [
        ("google/labse/tensorFlow2/labse/2", "google/labse/tensorFlow2/labse/2"),
        ("google/labse/TensorFlow2/labse", "google/labse/TensorFlow2/labse"),
        ("https://www.kaggle.com/models/a/b/transformers/c", "a/b/transformers/c"),
        ("http://kaggle.com/models/a-b/c/pyTorch/d.e/3/", "a-b/c/pyTorch/d.e/3"),
        (
            "https://www.kaggle.com/models/google/labse/frameworks/tensorFlow2/variations/labse"
            "/versions/2",
            "google/labse/tensorFlow2/labse/2",
        ),
        ("google/labse", None),
        ("a/b/c/d", None),
        ("https://tfhub.dev/google/LaBSE/2", None),
        ("https://example.org/a/b/tensorFlow2/c", None),
    ],
)
def test_handles(source, handle):
    assert handle_of(source) == handle


@pytest.fixture
def kagglehub(monkeypatch, release):
    def model_download(handle):
        if handle != "some-one/labse/tensorFlow2/release/1":
            raise RuntimeError(f"404 {handle}\nmore")
        return str(release)

    module = types.SimpleNamespace(model_download=model_download)
    monkeypatch.setitem(sys.modules, "kagglehub", module)


def test_load(kagglehub, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loaded = labse_tf.load("some-one/labse/tensorFlow2/release/1")
    np.testing.assert_array_equal(loaded.encode(["the cat"]), model.encode(["the cat"]))
    with pytest.raises(OSError, match=r"Cannot fetch 'a/b/pyTorch/c' from Kaggle: 404 a/b/\S+ D"):
        labse_tf.load("a/b/pyTorch/c")
    (tmp_path / "a/b/pyTorch/c").mkdir(parents=True)
    with pytest.raises(ValueError, match="is no model that labse_tf knows"):
        labse_tf.load("a/b/pyTorch/c")
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(ImportError, match=r"pip install '.\[kaggle\]'"):
        labse_tf.load("https://www.kaggle.com/models/a/b/tensorFlow2/c/1")
