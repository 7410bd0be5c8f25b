"""Runs that are killed, asked to end, or out of disk, and started again."""

import signal

import pytest

from labse_tf.training.callbacks import Reports
from labse_tf.training.fine_tuning import fine_tune
from labse_tf.training.preemption import Preempted
from tests.fresh import fresh
from tests.training import one_weight
from tests.training.runs import CONFIG, assert_same, checkpoints, weights

# Done in a fresh process right after a step, before it is saved.
PROGRAM = """
import os, resource, signal
from labse_tf.commands.flags import run_program
from labse_tf.training.callbacks import Reports

report = Reports.on_train_batch_end
def report_and_do(self, batch, logs=None):
    report(self, batch, logs)
    if batch + 1 == {step}:
        {do}
Reports.on_train_batch_end = report_and_do

def main(arguments):
    {run}
run_program(main)
"""
ONE_WEIGHT = "from tests.training import one_weight; one_weight.run({workdir!r}, {vocab_file!r})"
FINE_TUNE = """
    from labse_tf.training.fine_tuning import fine_tune
    from tests.training.runs import CONFIG, make_model
    model = make_model({vocab_file!r}, {vocab_size})
    fine_tune(model, [{pairs!r}], CONFIG, {workdir!r}, held_out=[{pairs!r}])
"""


def run_and_do(do, run, *, step, **names):
    """A run of 12 steps with checkpoints at 0, 4, 8, 12, as a program runs it."""
    return fresh("-c", PROGRAM.format(step=step, do=do, run=run.format(**names)))


@pytest.fixture(scope="module")
def whole(vocab_file, tmp_path_factory):
    """The weight of a run of its own that nothing happens to."""
    return one_weight.run(tmp_path_factory.mktemp("whole"), vocab_file)


def test_killed(finished, new_model, pairs, vocab_file, vocab_size, tmp_path):
    """By SIGKILL between two checkpoints."""
    _, uninterrupted = finished
    names = dict(vocab_file=vocab_file, vocab_size=vocab_size, pairs=pairs)
    process = run_and_do(
        "os.kill(os.getpid(), signal.SIGKILL)", FINE_TUNE, step=7, workdir=str(tmp_path), **names
    )
    assert process.returncode == -signal.SIGKILL, process.stderr[-2000:]
    assert checkpoints(tmp_path) == [0, 4]
    resumed = fine_tune(new_model(), [pairs], CONFIG, tmp_path, held_out=[pairs])
    assert_same(resumed, uninterrupted, atol=1e-6)
    # It matters that there was training.
    moved = zip(weights(uninterrupted), weights(new_model()), strict=True)
    assert max(abs(a - b).max() for a, b in moved) > 0.01


def test_sigterm_saves_and_ends_well(whole, vocab_file, tmp_path):
    """The program's exit status is 0, its message says where; the weight is as if never asked."""
    names = dict(workdir=str(tmp_path), vocab_file=vocab_file)
    process = run_and_do("os.kill(os.getpid(), signal.SIGTERM)", ONE_WEIGHT, step=6, **names)
    assert process.returncode == 0, process.stderr[-2000:]
    assert f"SIGTERM: the checkpoint of step 6 is saved in '{tmp_path}'" in process.stderr
    assert "Start again in the same way" in process.stderr
    assert checkpoints(tmp_path) == [0, 4, 6]
    assert one_weight.run(tmp_path, vocab_file) == whole


def test_the_handler_is_put_back(vocab_file, tmp_path, monkeypatch):
    def ask(self, batch, logs=None):
        # Not a real signal: pytest's faulthandler gives this thread a stack for signals of its
        # own, on which a processor's matrix registers may find no room.
        signal.getsignal(signal.SIGTERM)(signal.SIGTERM, None)

    monkeypatch.setattr(Reports, "on_train_batch_end", ask)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Preempted, match="step 1"):
        one_weight.run(tmp_path, vocab_file)
    assert signal.getsignal(signal.SIGTERM) is before
    assert checkpoints(tmp_path) == [0, 1]


def test_a_full_disk_keeps_the_last_checkpoint(whole, vocab_file, tmp_path):
    """A limit on the size of files stands in: the write fails in the middle, for real."""
    limit = (
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))"
    )
    names = dict(workdir=str(tmp_path), vocab_file=vocab_file)
    process = run_and_do(limit, ONE_WEIGHT, step=8, **names)
    assert process.returncode == 2, process.stderr[-2000:]
    assert "The checkpoint of step 8 could not be written" in process.stderr
    assert "The last good one is" in process.stderr and "ckpt-4." in process.stderr
    assert checkpoints(tmp_path) == [0, 4]
    assert not [p for p in (tmp_path / "checkpoints").iterdir() if "ckpt-8" in p.name]
    assert one_weight.run(tmp_path, vocab_file) == whole
