"""`--split`: TF-Hub's own sample code on it, and the numbers of the Model Garden's own exports."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from official.nlp.tools import export_tfhub_lib

import labse_tf
from labse_tf.release.saved_model import write_split
from tests import model_garden as garden
from tests.conftest import SENTENCES
from tests.fresh import fresh

ROOT = Path(__file__).parents[2]
WIDTH = 24
LONGER = [*SENTENCES, "the cat " * 30, "x"]


@pytest.fixture(scope="module")
def theirs(hub_model, vocab_file, tmp_path_factory):
    """The Model Garden's encoder and preprocessor, as SavedModels for TF-Hub."""
    folder = tmp_path_factory.mktemp("theirs")
    shutil.copytree(hub_model, folder / "encoder")
    export_tfhub_lib.export_preprocessing(
        str(folder / "preprocessor"),
        vocab_file=vocab_file,
        do_lower_case=False,
        default_seq_length=WIDTH,
        tokenize_with_offsets=False,
    )
    return folder


@pytest.fixture(scope="module")
def ours(theirs, vocab_file, tmp_path_factory):
    """The same weights and vocabulary by `write_split`, moved afterwards."""
    folder = tmp_path_factory.mktemp("ours")
    model = labse_tf.load(theirs / "encoder")
    write_split(folder / "written", labse_tf.Preprocessor(vocab_file, WIDTH), model.encoder)
    os.rename(folder / "written", folder / "moved")
    return folder / "moved"


@pytest.fixture(scope="module")
def seen(ours, tmp_path_factory):
    folder = tmp_path_factory.mktemp("seen")
    (folder / "sentences.json").write_text(json.dumps(LONGER))
    command = ["-I", ROOT / "tests" / "consumers" / "tf_hub_samples.py"]
    command += [ours / "encoder", ours / "preprocessor", "sentences.json", "seen.npz"]
    process = fresh(*command, cwd=folder)
    assert process.returncode == 0, process.stderr[-4000:]
    with np.load(folder / "seen.npz") as results:
        return dict(results)


def test_equal_to_the_model_gardens_exports(seen, theirs):
    preprocessor = tf.saved_model.load(str(theirs / "preprocessor"))
    encoder = tf.saved_model.load(str(theirs / "encoder"))
    ids = preprocessor(tf.constant(LONGER))
    for name in garden.INPUTS:
        np.testing.assert_array_equal(seen[name], ids[name], err_msg=name)
    outputs = encoder([ids[name] for name in garden.INPUTS])
    real = ids["input_mask"].numpy()[..., None]
    np.testing.assert_allclose(seen["pooled_output"], outputs["pooled_output"], atol=1e-5, rtol=0)
    np.testing.assert_allclose(seen["default"], outputs["pooled_output"], atol=1e-5, rtol=0)
    np.testing.assert_allclose(
        seen["sequence_output"] * real, outputs["sequence_output"] * real, atol=1e-5, rtol=0
    )
    tokens = preprocessor.tokenize(tf.constant(LONGER))
    packed = preprocessor.bert_pack_inputs(
        [tokens, tf.reverse(tokens, [0])], seq_length=tf.constant(11)
    )
    assert packed["input_type_ids"].numpy().max() == 1
    for name in garden.INPUTS:
        np.testing.assert_array_equal(seen[f"pack/{name}"], packed[name], err_msg=name)


def test_both_pages_give_the_same_embedding(seen, vocab_file):
    raw = seen["pooled_output"]
    expected = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    np.testing.assert_allclose(seen["LaBSE/2"], expected, atol=1e-6)
    np.testing.assert_allclose(seen["LaBSE/1"], expected, atol=1e-6)
    with open(vocab_file, "rb") as file:
        assert seen["vocabulary"].tobytes() == file.read()
    assert not seen["lower_case"]


def test_the_tutorials_classifier_learns(seen):
    np.testing.assert_allclose(seen["classifier/pooled before"], seen["default"], atol=1e-6)
    assert seen["classifier/weights"] > 0 and seen["classifier/weights"] == len(
        seen["classifier/moved"]
    )
    # Every weight of the encoder was trained.
    assert seen["classifier/moved"].min() > 1e-4
    assert seen["classifier/accuracy"] == 1
    first, last = seen["classifier/loss"]
    assert last < first / 3


def test_written_whole_or_not_at_all(ours, theirs, vocab_file, tmp_path, monkeypatch):
    model = labse_tf.load(theirs / "encoder")
    with pytest.raises(FileExistsError, match=r"moved.*exists"):
        write_split(ours, model.preprocessor, model.encoder)
    with pytest.raises(ValueError, match="compute_dtype"):
        write_split(tmp_path / "split", model.preprocessor, model.encoder, compute_dtype="int8")

    save = tf.saved_model.save

    def interrupted(root, path, *arguments):
        save(root, path, *arguments)
        if path.endswith("preprocessor"):
            raise KeyboardInterrupt

    monkeypatch.setattr(tf.saved_model, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_split(tmp_path / "split", model.preprocessor, model.encoder)
    assert os.listdir(tmp_path) == []


def test_its_encoder_is_read_back(ours, theirs, vocab_file):
    again = labse_tf.load(ours / "encoder")
    preprocessor = labse_tf.Preprocessor(vocab_file, WIDTH)
    model = labse_tf.LaBSE(preprocessor, labse_tf.load(theirs / "encoder").encoder)
    assert again.encoder.config == model.encoder.config
    for a, b in zip(model.encoder.weights, again.encoder.weights, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.name)
    np.testing.assert_array_equal(model.encode(LONGER), again.encode(LONGER))
