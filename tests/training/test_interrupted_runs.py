"""Runs of fine_tune that are asked to end, run out of disk, or meet what is no number.

In a process of its own, see the Makefile.
"""

import signal
import subprocess
import sys

import numpy as np
import pytest

import labse_tf
from labse_tf.training.callbacks import Reports
from labse_tf.training.fine_tuning import fine_tune
from labse_tf.training.preemption import Preempted
from tests.training.test_fine_tuning import CONFIG, ROOT, checkpoints, make_model
from tests.training.test_runs import assert_same, new_model, pairs

__all__ = ["CONFIG", "Reports", "fine_tune", "make_model", "new_model", "pairs"]


def run_in_a_process(vocab_file, pairs, workdir, *, at, do):
    """fine_tune as a program runs it, with something done after the step that follows `at`."""
    code = f"""
import os, resource, signal
from labse_tf.commands.flags import run_program
from tests.training.test_interrupted_runs import *
report = Reports.on_train_batch_end
def report_and_do(self, batch, logs=None):
    report(self, batch, logs)
    if batch == {at}:
        {do}
Reports.on_train_batch_end = report_and_do
def main(arguments):
    with open({vocab_file!r}, encoding="utf-8") as file:
        model = make_model({vocab_file!r}, sum(1 for _ in file))
    fine_tune(model, [{pairs!r}], CONFIG, {str(workdir)!r})
run_program(main)
"""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=240
    )


def test_sigterm_saves_and_ends_well(new_model, pairs, vocab_file, tmp_path):
    """The program's exit status is 0, its message says where; the weights are as if never asked."""
    whole = fine_tune(new_model(), [pairs], CONFIG, tmp_path / "whole")
    process = run_in_a_process(
        vocab_file, pairs, tmp_path / "asked", at=5, do="os.kill(os.getpid(), signal.SIGTERM)"
    )
    assert process.returncode == 0, process.stderr[-2000:]
    assert f"SIGTERM: the checkpoint of step 6 is saved in '{tmp_path / 'asked'}'" in process.stderr
    assert checkpoints(tmp_path / "asked") == [0, 4, 6]
    assert_same(fine_tune(new_model(), [pairs], CONFIG, tmp_path / "asked"), whole, atol=1e-6)


def test_the_handler_is_put_back(new_model, pairs, tmp_path, monkeypatch):
    def ask(self, batch, logs=None):
        # Not a real signal: pytest's faulthandler gives this thread a stack for signals of its
        # own, on which a processor's matrix registers may find no room.
        signal.getsignal(signal.SIGTERM)(signal.SIGTERM, None)

    monkeypatch.setattr(Reports, "on_train_batch_end", ask)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Preempted, match="step 1"):
        fine_tune(new_model(), [pairs], CONFIG, tmp_path / "run")
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_full_disk_keeps_the_last_checkpoint(new_model, pairs, vocab_file, tmp_path):
    """A limit on the size of files stands in: the write fails in the middle, for real."""
    process = run_in_a_process(
        vocab_file,
        pairs,
        tmp_path / "run",
        at=6,
        do="signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))",
    )
    assert process.returncode == 2, process.stderr[-2000:]
    assert "The checkpoint of step 8 could not be written" in process.stderr
    assert "The last good one is" in process.stderr and "ckpt-4." in process.stderr
    assert checkpoints(tmp_path / "run") == [0, 4]
    assert not [p for p in (tmp_path / "run" / "checkpoints").iterdir() if "ckpt-8" in p.name]
    whole = fine_tune(new_model(), [pairs], CONFIG, tmp_path / "whole")
    assert_same(fine_tune(new_model(), [pairs], CONFIG, tmp_path / "run"), whole, atol=1e-6)


def test_the_batch_of_a_loss_that_is_no_number(new_model, pairs, tmp_path):
    """Weights that are no numbers from step 3 on; the file holds what was read for it."""
    model = new_model()
    report = Reports.on_train_batch_end

    def spoil(self, batch, logs=None):
        report(self, batch, logs)
        if batch == 4:
            model.encoder.weights[0].assign(np.nan * model.encoder.weights[0])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reports, "on_train_batch_end", spoil)
        with pytest.raises(FloatingPointError, match=r"step 6 is nan.*ckpt-4.*step-6.npz") as error:
            fine_tune(model, [pairs], CONFIG, tmp_path / "run")
    assert "not-finite-step-6.npz" in str(error.value)
    expected = labse_tf.read_pairs(
        pairs, model.preprocessor, 8, seed=3, skip=5, shuffle_buffer=CONFIG.shuffle_buffer
    )
    source, target = next(iter(expected))
    with np.load(tmp_path / "run" / "not-finite-step-6.npz") as written:
        for i, side in enumerate((source, target)):
            for name, ids in side.items():
                np.testing.assert_array_equal(written[f"{i}/{name}"].reshape(ids.shape), ids)
    assert checkpoints(tmp_path / "run") == [0, 4]
