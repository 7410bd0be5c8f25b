"""export.verify: a release passes, and each way of being broken is named."""

import functools
import os
import shutil

import numpy as np
import pytest

import labse_tf
from export.verify import main
from labse_tf.models import NAME, named
from labse_tf.release.saved_model import write_split
from labse_tf.release.verification import constant_dimensions, run_checks, table, verify
from labse_tf.release.verification.checks import CHECKS, CheckFailed, Inspection
from labse_tf.release.warmup import WARMUP_FILE
from tests.fresh import fresh
from tests.models import make_model
from tests.running import run

FRESH_PROCESS = run_checks._fresh_process


@pytest.fixture
def broken(release, tmp_path):
    return shutil.copytree(release, tmp_path / "broken")


@pytest.fixture(scope="module")
def other(vocab_file, vocab_size, tmp_path_factory):
    path = tmp_path_factory.mktemp("other") / "release"
    make_model(vocab_file, vocab_size, seed=2).save(path)
    return path


@pytest.fixture(scope="module")
def inspect():
    """The same directory is inspected once by the tests, and in processes that start quickly.

    So "deterministic" tells nothing there; `test_a_release_passes` has it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_checks, "_fresh_process", fresh)
        inspect = run_checks._inspect
        patch.setattr(run_checks, "_inspect", functools.cache(inspect))
        yield inspect


def failures(results):
    return {result.name: result.found for result in results if not result.passed}


def test_a_release_passes(release, tmp_path, inspect, monkeypatch):
    """Inspected three times; the first process is started as users' are."""
    processes = iter([FRESH_PROCESS, fresh, fresh])
    monkeypatch.setattr(run_checks, "_fresh_process", lambda *args: next(processes)(*args))
    monkeypatch.setattr(run_checks, "_inspect", inspect)
    moved = shutil.copytree(release, tmp_path / "moved")
    process = run(main, release, "--against", moved)
    assert process.returncode == 0, process.stdout + process.stderr[-2000:]
    *lines, last = process.stdout.splitlines()
    assert last == f"{len(lines)} of {len(lines)} checks passed" and len(lines) == 16
    assert all(line.startswith("yes  ") for line in lines)
    assert "both traces; dropout 0.1" in process.stdout
    assert next(processes, None) is None


def test_parts_that_are_missing_or_wrong(broken, other, vocab_size, inspect):
    """What the graph itself does not need is missed all the same."""
    os.unlink(broken / WARMUP_FILE)
    config_file = broken / "assets" / "labse.json"
    text = config_file.read_text()
    config_file.write_text(text.replace('"hidden_size": 16', '"hidden_size": 20'))
    results = verify(broken, other)
    found = failures(results)
    assert found.keys() == {"warm-up requests", "configuration", f"equal to {other}"}
    assert f"{vocab_size} x 20, but the word table is [{vocab_size}, 16]" in found["configuration"]
    assert found["warm-up requests"].startswith("warm-up: NotFoundError")
    assert "differs by" in found[f"equal to {other}"]
    assert "NO   warm-up requests" in table(results)


@pytest.mark.parametrize(("constant", "passed"), [(0, True), (3, True), (4, False)])
def test_dimensions_that_are_constant(constant, passed):
    """Of 16, 3 are below a fifth, and 4 above."""
    rows = np.random.default_rng(0).normal(size=[8, 16]).astype(np.float32)
    rows[:, :constant] = 1e-9 * rows[:, :constant] + 0.1
    rows[:, constant:] /= np.linalg.norm(rows[:, constant:], axis=1, keepdims=True)
    assert list(constant_dimensions(rows)) == list(range(constant))
    model = Inspection({"root": "float32 [8, 16]"}, {"root": rows})
    check = dict(CHECKS)["dimensions that vary"]
    if not passed:
        with pytest.raises(CheckFailed, match="4 of 16 dimensions are constant, more than 20%"):
            check(model)
    else:
        found = f"warning: {constant} of 16 dimensions are constant" if constant else "all 16 vary"
        assert check(model) == found


@pytest.mark.parametrize("part", ["variables.index", "variables.data-00000-of-00001"])
def test_what_cannot_be_loaded(broken, part, inspect):
    (file,) = broken.rglob(part)
    if "data" in part:
        os.truncate(file, 5000)
    else:
        file.unlink()
    process = run(main, broken)
    assert process.returncode == 1, process.stderr[-2000:]
    assert process.stdout.startswith("NO   loads with tensorflow_text alone"), process.stdout
    with pytest.raises((FileNotFoundError, ValueError), match="Cannot read the wei"):
        labse_tf.load(broken)


def test_a_vocabulary_that_is_missing(broken, inspect):
    """The graph has its own form of it, so that TensorFlow alone does not miss it."""
    (broken / "assets" / "vocab.txt").unlink()
    assert "vocab.txt" in failures(verify(broken))["configuration"]
    with pytest.raises(FileNotFoundError, match=r"vocab\.txt"):
        labse_tf.load(broken)


def test_a_module_as_googles(hub_model, inspect):
    results = verify(hub_model, hub_model)
    passed = {result.name for result in results if result.passed}
    assert {"loads with tensorflow_text alone", "operations of TensorFlow Serving"} <= passed
    assert {"weights to train", "deterministic", f"equal to {hub_model}"} <= passed
    missing = failures(results)
    assert {"strings to unit rows", "preprocessor, TF-Hub's API", "warm-up requests"} <= set(
        missing
    )
    assert "preprocessor" in missing["packing of segments"]
    assert missing["encoder, TF-Hub's API"].startswith("takes a list of three")


def test_an_encoder_alone_is_compared_by_its_ids(release, model, other, tmp_path, inspect):
    write_split(tmp_path / "split", model.preprocessor, model.encoder)
    alone = tmp_path / "split" / "encoder"
    results = verify(release, alone)
    assert not failures(results), table(results)
    found = failures(verify(alone, other))
    assert found[f"equal to {other}"].startswith("differs by")
    assert "encoder, TF-Hub's API" not in found and "weights to train" not in found


def test_names_of_models(monkeypatch):
    """labse-mini is a name on both sides."""

    def fake(path, against):
        return [run_checks.CheckResult(f"{path} {against}", True, "")]

    monkeypatch.setattr("export.verify.verify", fake)
    process = run(main, NAME, "--against", NAME)
    assert process.stdout.startswith(f"yes  {named(NAME)} {named(NAME)}")


def test_int8_has_nothing_to_train():
    (check,) = (check for name, check in CHECKS if name == "weights to train")
    facts = {"root/weights": [7, 0], "encoder/weights": [7, 0], "regularization_losses": 0}
    with pytest.raises(CheckFailed, match="root/weights: 7 and 0 to train"):
        check(Inspection(facts, {}))
    found = check(Inspection({**facts, "config": {"weights_dtype": "int8"}}, {}))
    assert found == "none to train, since the word embeddings are in int8, 0 losses"


def test_no_directory(tmp_path):
    process = fresh("-m", "export.verify", tmp_path / "absent")
    assert process.returncode == 2 and "There is no directory" in process.stderr.splitlines()[-1]


def test_an_inspector_that_dies(release, inspect, monkeypatch):
    """As one that is killed for its memory."""
    monkeypatch.setattr(run_checks, "_inspect", inspect)
    code = "import sys; print('the last words', file=sys.stderr); sys.exit(3)"
    monkeypatch.setattr(run_checks, "_fresh_process", lambda *_: FRESH_PROCESS("-c", code))
    with pytest.raises(RuntimeError, match=r"status 3: the last words"):
        verify(release)
