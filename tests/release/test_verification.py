"""export.verify: a release holds, and each way of being broken is named."""

import functools
import os
import shutil
import subprocess
import sys

import pytest

import labse_tf
from labse_tf.release.saved_model import write_split
from labse_tf.release.verification import judge, table, verify
from labse_tf.release.warmup import WARMUP_FILE
from tests import model_garden as garden
from tests.models import make_model


@pytest.fixture(scope="module")
def release(vocab_file, vocab_size, tmp_path_factory):
    path = tmp_path_factory.mktemp("verification") / "release"
    make_model(vocab_file, vocab_size).save(path)
    return path


@pytest.fixture
def broken(release, tmp_path):
    return shutil.copytree(release, tmp_path / "broken")


@pytest.fixture(scope="module", autouse=True)
def read_once():
    """The same directory is read once by the tests that call `verify` in this process.

    So "deterministic" tells nothing there; `test_a_release_holds` has it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge, "_read", functools.cache(judge._read))
        yield


def failures(findings):
    return {finding.promise: finding.found for finding in findings if not finding.holds}


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "export.verify", *map(str, arguments)],
        capture_output=True,
        text=True,
    )


def test_a_release_holds(release, tmp_path):
    moved = shutil.copytree(release, tmp_path / "moved")
    process = run(release, "--against", moved)
    assert process.returncode == 0, process.stdout + process.stderr[-2000:]
    *lines, last = process.stdout.splitlines()
    assert last == f"{len(lines)} of {len(lines)} promises hold" and len(lines) == 15
    assert all(line.startswith("yes  ") for line in lines)
    assert "both traces; dropout 0.1" in process.stdout


def test_parts_that_are_missing_or_wrong(broken, vocab_file, vocab_size, tmp_path):
    """What the graph itself does not need is missed all the same."""
    os.unlink(broken / WARMUP_FILE)
    config_file = broken / "assets" / "labse.json"
    text = config_file.read_text()
    config_file.write_text(text.replace('"hidden_size": 16', '"hidden_size": 20'))
    make_model(vocab_file, vocab_size, seed=2).save(tmp_path / "other")
    findings = verify(broken, tmp_path / "other")
    found = failures(findings)
    assert found.keys() == {"warm-up requests", "configuration", f"equal to {tmp_path / 'other'}"}
    assert f"{vocab_size} x 20, but the word table is [{vocab_size}, 16]" in found["configuration"]
    assert found["warm-up requests"].startswith("warm-up: NotFoundError")
    assert "differs by" in found[f"equal to {tmp_path / 'other'}"]
    assert "NO   warm-up requests" in table(findings)


@pytest.mark.parametrize("part", ["vocab.txt", "variables.index", "variables.data-00000-of-00001"])
def test_what_cannot_be_loaded(broken, part):
    (file,) = broken.rglob(part)
    if "data" in part:
        os.truncate(file, 5000)
    else:
        file.unlink()
    process = run(broken)
    assert process.returncode == 1, process.stderr[-2000:]
    assert process.stdout.startswith("NO   loads with tensorflow_text alone"), process.stdout
    with pytest.raises((FileNotFoundError, ValueError), match=r"vocab\.txt|Cannot read the wei"):
        labse_tf.load(broken)


def test_a_module_as_googles(release, vocab_file, vocab_size, tmp_path):
    encoder = garden.make_encoder(garden.bert_config(vocab_size))
    garden.export_for_tf_hub(encoder, vocab_file, tmp_path / "module")
    findings = verify(tmp_path / "module", tmp_path / "module")
    held = {finding.promise for finding in findings if finding.holds}
    assert {"loads with tensorflow_text alone", "operations of TensorFlow Serving"} <= held
    assert {"weights to train", "deterministic", f"equal to {tmp_path / 'module'}"} <= held
    missing = failures(findings)
    assert {"strings to unit rows", "preprocessor, TF-Hub's API", "warm-up requests"} <= set(
        missing
    )
    assert "preprocessor" in missing["packing of segments"]
    assert missing["encoder, TF-Hub's API"].startswith("takes a list of three")


def test_an_encoder_alone_is_compared_by_its_ids(release, vocab_file, vocab_size, tmp_path):
    for name, model in [
        ("same", labse_tf.load(release)),
        ("other", make_model(vocab_file, vocab_size, seed=2)),
    ]:
        write_split(tmp_path / name, model.preprocessor, model.encoder)
    alone, other = tmp_path / "same" / "encoder", tmp_path / "other" / "encoder"
    findings = verify(release, alone)
    assert not failures(findings), table(findings)
    found = failures(verify(alone, other))
    assert found[f"equal to {other}"].startswith("differs by")
    assert "encoder, TF-Hub's API" not in found and "weights to train" not in found


def test_no_directory(tmp_path):
    process = run(tmp_path / "absent")
    assert process.returncode == 2 and "There is no directory" in process.stderr.splitlines()[-1]
