"""labse-mini in the package: what a user has right after the installation, without a network."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_hub as hub

import labse_tf
from labse_tf.commands.main import main
from labse_tf.evaluation.benchmarks.tatoeba import LANGUAGES
from labse_tf.model_card.metrics import metrics, of_languages
from labse_tf.models import NAME, named
from labse_tf.release.configuration import is_release
from labse_tf.release.saved_model import size_on_disk
from labse_tf.tokenization.scripts import canonical_code
from tests.running import call
from training.labse_mini.sources import SHIPPED

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "training" / "sample"
FOREIGN, ENGLISH = (
    (SAMPLE / name).read_text(encoding="utf-8").splitlines()
    for name in ("twenty.txt", "twenty.eng.txt")
)
# Whatever is not on this machine is out of reach for `labse`.
OFFLINE = """
import socket, sys
def refuse(*arguments):
    raise OSError("there is no network")
socket.socket.connect = socket.getaddrinfo = refuse
from labse_tf.commands.main import main
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def mini():
    return labse_tf.load()


@pytest.fixture(scope="module")
def card():
    return json.loads((ROOT / "labse_tf/models/evaluation.json").read_text(encoding="utf-8"))


def test_a_name_is_the_package_s_unless_there_is_such_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_release(named(NAME)) and named(NAME) == str(ROOT / "labse_tf" / "models" / NAME)
    assert named(tmp_path) == str(tmp_path)
    (tmp_path / NAME).mkdir()
    assert named(NAME) == NAME
    (tmp_path / NAME).rmdir()
    monkeypatch.setattr("labse_tf.models.__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(FileNotFoundError, match="installation of labse_tf lacks its model"):
        labse_tf.load()


def test_it_is_small_enough_and_has_int8_words():
    assert size_on_disk(named(NAME)) <= 40e6
    config = json.loads(Path(named(NAME), "assets", "labse.json").read_text())
    assert config["weights_dtype"] == "int8"


def test_twenty_languages_without_a_model_or_a_network(tmp_path, mini):
    output = tmp_path / "x.npy"
    arguments = ["encode", str(SAMPLE / "twenty.txt"), "--output", str(output)]
    process = subprocess.run(
        [sys.executable, "-c", OFFLINE, *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    embeddings = np.load(output)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    nearest = (embeddings @ mini.encode(ENGLISH).T).argmax(axis=1)
    assert (nearest == np.arange(20)).sum() >= 18


def test_hub_load_has_the_same_embeddings(mini):
    loaded = hub.load(named(NAME))
    assert (loaded(FOREIGN).numpy() * mini.encode(FOREIGN)).sum(axis=1).min() > 0.9995
    # Int8 embeddings are not trained, and so nothing is: see the model's page.
    assert not hub.KerasLayer(loaded, trainable=True).trainable_weights


def test_the_card_is_of_this_model(mini, card):
    assert card["model"]["fingerprint"] == mini.fingerprint()
    assert card["model"]["name"] == NAME


def test_evaluate_without_a_model_prints_the_card_s_figures(tmp_path, card):
    output = tmp_path / "a.json"
    call(main, "evaluate", "tatoeba", "--languages", "deu", "swh", "tha", "--output", output)
    (tatoeba,) = (b for b in card["benchmarks"] if b["name"] == "tatoeba")
    (found,) = json.loads(output.read_text(encoding="utf-8"))["benchmarks"]
    figures = {k: v for k, v in found["figures"].items() if not k.startswith("mean")}
    assert {name.split("/")[0] for name in figures} == {"deu", "swh", "tha"}
    assert figures == {name: tatoeba["figures"][name] for name in figures}


@pytest.mark.parametrize("page", ["tf-hub.md", "hugging-face.md"])
def test_the_pages_show_the_evaluation(page, card):
    text = (ROOT / "labse_tf/models/cards" / page).read_text(encoding="utf-8")
    assert metrics([of_languages(card, map(canonical_code, LANGUAGES))]) in text
    for source in SHIPPED:
        assert source.title in text and source.licence in text
