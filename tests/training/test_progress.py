"""How far a run has come, by its newest checkpoint."""

import dataclasses
import shutil

import pytest
import tf_keras

from export import saved_model
from labse_tf.training.preemption import Preempted
from labse_tf.training.progress import unfinished
from tests.running import run
from tests.training import one_weight
from tests.training.signals import terminate_in_step

STAGES = dataclasses.replace(one_weight.CONFIG, steps=8, stages="1:50%,2:50%")


def interrupted(workdir, vocab_file, config, step):
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Preempted):
        terminate_in_step(patch, step)
        one_weight.run(workdir, vocab_file, config)


def test_a_run(vocab_file, tmp_path):
    interrupted(tmp_path, vocab_file, one_weight.CONFIG, 5)
    assert unfinished(tmp_path) == "step 5 of 12"
    one_weight.run(tmp_path, vocab_file)
    assert unfinished(tmp_path) == ""


def test_stages(vocab_file, tmp_path):
    """Steps are those of the whole run; a finished stage is not a finished run."""
    said = []
    for step in (4, 1):
        interrupted(tmp_path, vocab_file, STAGES, step)
        said.append(unfinished(tmp_path))
    assert said == ["step 4 of 8", "step 5 of 8"]
    assert unfinished(tmp_path / "stage-1") == ""
    assert unfinished(tmp_path / "stage-2") == "step 1 of 4"
    one_weight.run(tmp_path, vocab_file, STAGES)
    assert unfinished(tmp_path) == ""


def test_without_steps_and_with_an_early_end(vocab_file, tmp_path):
    config = dataclasses.replace(one_weight.CONFIG, steps=0)
    one_weight.run(tmp_path / "started", vocab_file, config)
    assert unfinished(tmp_path / "started") == ""

    class Ending(tf_keras.callbacks.Callback):
        def __init__(self, *_):
            super().__init__()

        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = True

    one_weight.run(tmp_path / "early", vocab_file, callback=Ending)
    assert unfinished(tmp_path / "early") == ""


def test_an_export_says_so(finished, release, tmp_path):
    """Before it writes: here it may not, since the release exists."""
    workdir = tmp_path / "run"
    shutil.copytree(finished[0], workdir)
    assert "has not ended" not in run(saved_model.main, workdir, release).stderr
    for path in (workdir / "checkpoints").glob("ckpt-12.*"):
        path.unlink()
    ended = run(saved_model.main, workdir, release)
    warning, error = ended.stderr.splitlines()[-2:]
    assert warning == (
        f"warning: the run in {str(workdir)!r} has not ended: its newest checkpoint is of step 8 "
        "of 12. Start the run again in the same way to go on."
    )
    assert ended.returncode == 2 and "exists" in error
