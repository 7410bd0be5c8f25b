"""A model is stored as its source was, whatever is done to it in between."""

import dataclasses
import json
import tarfile

import numpy as np
import pytest

import labse_tf
from labse_tf.commands.main import main
from labse_tf.release.configuration import read_configuration
from labse_tf.release.saved_model import size_on_disk
from labse_tf.training.run_directory import load_run
from tests.conftest import SENTENCES
from tests.models import make_model
from tests.planted import write
from tests.running import call
from tests.training.runs import CONFIG, write_pairs


@pytest.fixture(scope="module")
def release(vocab_file, vocab_size, tmp_path_factory):
    path = tmp_path_factory.mktemp("int8") / "release"
    make_model(vocab_file, vocab_size, num_layers=1).save(path, weights_dtype="int8")
    return path


def dtype_of(path):
    return read_configuration(path).weights_dtype


def test_convert_changes_nothing(release, tmp_path):
    call(main, "convert", release, tmp_path / "again")
    assert dtype_of(tmp_path / "again") == "int8"
    variables = "variables/variables.data-00000-of-00001"
    sizes = [size_on_disk(path / variables) for path in (release, tmp_path / "again")]
    assert sizes[0] == sizes[1]
    first, second = (labse_tf.load(path) for path in (release, tmp_path / "again"))
    assert first.fingerprint() == second.fingerprint()
    np.testing.assert_array_equal(first.encode(SENTENCES[:3]), second.encode(SENTENCES[:3]))
    said = call(main, "convert", release, tmp_path / "f", "--weights-dtype", "float32")
    assert dtype_of(tmp_path / "f") == "float32" and "weights in float32: cosine" in said


def test_prune_makes_it_smaller(release, tmp_path):
    write(tmp_path / "corpus.txt", SENTENCES[:2])
    arguments = ["--corpus", tmp_path / "corpus.txt", "--compute-dtype", "bfloat16"]
    said = call(main, "prune", release, tmp_path / "pruned", *arguments)
    assert dtype_of(tmp_path / "pruned") == "int8" and "MB on disk" in said
    sizes = [size_on_disk(path / "variables") for path in (release, tmp_path / "pruned")]
    assert sizes[1] < sizes[0]


def test_archives_backends_and_precisions(release, tmp_path):
    with tarfile.open(tmp_path / "release.tar.gz", "w:gz") as archive:
        archive.add(release, "release")
    for model in (
        labse_tf.load(tmp_path / "release.tar.gz"),
        labse_tf.load(release).with_parts(),
    ):
        assert model.stored_dtype == "int8"
        assert model.default_weights_dtype("bfloat16") == "int8"
    half = labse_tf.load(release, precision="bfloat16")
    assert half.stored_dtype == "int8" and half.default_weights_dtype() == "bfloat16"
    new = labse_tf.LaBSE(half.preprocessor, labse_tf.load(release).encoder)
    assert [new.default_weights_dtype(d) for d in ("float32", "bfloat16")] == [
        "float32", "bfloat16",
    ]  # fmt: skip


@pytest.mark.parametrize("stages", ["", "1:50%,2:50%"])
def test_a_run_remembers_it(release, tmp_path, stages):
    pairs = write_pairs(tmp_path / "pairs.tsv")
    config = dataclasses.replace(CONFIG, steps=4, warmup_steps=0, stages=stages)
    model = labse_tf.fine_tune(labse_tf.load(release), [pairs], config, tmp_path / "run", verbose=0)
    assert model.stored_dtype == "int8"
    assert load_run(tmp_path / "run").stored_dtype == "int8"
    # A run that is older than the setting is continued, and exported in float32.
    run_file = next((tmp_path / "run").rglob("config.json"))
    run = json.loads(run_file.read_text())
    assert run.pop("stored_dtype") == "int8"
    run_file.write_text(json.dumps(run))
    if not stages:
        assert load_run(tmp_path / "run").stored_dtype == "float32"
    labse_tf.fine_tune(labse_tf.load(release), [pairs], config, tmp_path / "run", verbose=0)
