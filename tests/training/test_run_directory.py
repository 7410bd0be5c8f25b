"""What a run says of itself, and how it is read back or refused."""

import dataclasses
import hashlib
import json
import os
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import labse_tf
from labse_tf import Preprocessor
from labse_tf.training.config import FineTuningConfig
from labse_tf.training.fine_tuning import fine_tune
from labse_tf.training.run_directory import (
    compare_with_run,
    describe,
    load_head,
    load_run,
    write_run,
)
from tests.training import one_weight
from tests.training.runs import CONFIG, checkpoints, weights


def start(model, pairs, config, workdir):
    return fine_tune(model, [pairs], config, workdir, held_out=[pairs])


def test_what_a_run_says_of_itself(finished, new_model, pairs, tmp_path):
    workdir, _ = finished
    run = json.loads((workdir / "config.json").read_text())
    settings = dict(run["settings"])
    assert settings.pop("pairs") == settings.pop("held_out") == [os.path.abspath(pairs)]
    (checksum,) = settings.pop("checksums")["pairs"]
    assert checksum == f"sha256:{hashlib.sha256(Path(pairs).read_bytes()).hexdigest()}"
    assert FineTuningConfig(**settings) == CONFIG
    assert run["system"]["labse_tf"] == labse_tf.__version__
    assert run["system"]["tensorflow"] == tf.__version__ and run["system"]["command"] == sys.argv
    assert len(run["vocabulary_sha256"]) == 64
    # Another version goes on with the run: it is said, not compared.
    shutil.copytree(workdir, tmp_path / "run")
    run["system"]["python"] = "3.9"
    (tmp_path / "run" / "config.json").write_text(json.dumps(run))
    start(new_model(), pairs, CONFIG, tmp_path / "run")


def test_a_finished_run_is_read_back(finished, new_model, pairs):
    workdir, model = finished
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}
    again = start(new_model(), pairs, CONFIG, workdir)
    assert {path: path.stat().st_mtime_ns for path in workdir.rglob("*")} == before
    for a, b in zip(weights(again), weights(model), strict=True):
        np.testing.assert_array_equal(a, b)


def test_other_settings_are_refused(finished, new_model, pairs):
    workdir, _ = finished
    other = dataclasses.replace(CONFIG, learning_rate=0.5, margin=0.1)
    with pytest.raises(ValueError, match=r"learning_rate was 0.01, now 0.5") as error:
        start(new_model(), pairs, other, workdir)
    assert "settings.margin was 0.3, now 0.1" in str(error.value)
    assert checkpoints(workdir) == [4, 8, 12]


def test_the_vocabulary_of_a_run_is_that_which_was_used(vocab_file, tmp_path):
    path = tmp_path / "vocab.txt"
    shutil.copy(vocab_file, path)
    model = types.SimpleNamespace(
        encoder=one_weight.Encoder(),
        preprocessor=Preprocessor(path, 8, max_word_bytes=50),
        stored_dtype="float32",
    )
    path.unlink()
    run, workdir = describe(model, {}), tmp_path / "run"
    write_run(str(workdir), run, model.preprocessor.vocabulary)
    content = Path(vocab_file).read_bytes()
    assert (workdir / "vocab.txt").read_bytes() == content
    assert run["vocabulary_sha256"] == hashlib.sha256(content).hexdigest()
    assert run["preprocessor"]["max_word_bytes"] == 50
    # A run of before there was a choice had 100.
    assert run["preprocessor"].pop("tokenization") == "google"
    del run["preprocessor"]["max_word_bytes"], run["preprocessor"]["max_word_characters"]
    (workdir / "config.json").write_text(json.dumps(run))
    for limit, same in ((100, True), (None, False)):
        model.preprocessor = Preprocessor(vocab_file, 8, max_word_bytes=limit)
        now = describe(model, {})
        if same:
            compare_with_run(str(workdir), now)
        else:
            with pytest.raises(ValueError, match=r"max_word_bytes was 100, now None"):
                compare_with_run(str(workdir), now)


def test_what_is_no_run(finished, tmp_path):
    with pytest.raises(FileNotFoundError, match="no training run"):
        load_run(tmp_path)
    workdir, _ = finished
    with pytest.raises(FileNotFoundError, match=r"no checkpoint of step 5; it has .*\[4, 8, 12\]"):
        load_run(workdir, 5)
    with pytest.raises(ValueError, match="translation ranking, which has no head"):
        load_head(workdir)


def test_steps_of_a_run(finished):
    workdir, model = finished
    for a, b in zip(weights(load_run(workdir)), weights(model), strict=True):
        np.testing.assert_array_equal(a, b)
    moved = zip(weights(load_run(workdir, 4)), weights(model), strict=True)
    assert max(np.abs(a - b).max() for a, b in moved) > 1e-3
