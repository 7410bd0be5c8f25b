"""Runs that are killed, asked to end, or out of disk, and started again."""

import contextlib
import dataclasses
import os
import resource
import signal

import pytest
import tensorflow as tf

from labse_tf.training import fine_tuning
from labse_tf.training.fine_tuning import fine_tune
from labse_tf.training.held_out import HeldOut
from labse_tf.training.preemption import Preempted
from tests.fresh import fresh
from tests.training import one_weight
from tests.training.runs import CONFIG, assert_same, checkpoints, weights
from tests.training.signals import terminate, terminate_in_step

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
    """The program's exit status is EX_TEMPFAIL, "go on later"; its message says where.

    The weight is as if never asked.
    """
    names = dict(workdir=str(tmp_path), vocab_file=vocab_file)
    process = run_and_do("os.kill(os.getpid(), signal.SIGTERM)", ONE_WEIGHT, step=6, **names)
    assert process.returncode == 75, process.stderr[-2000:]
    assert f"SIGTERM: the checkpoint of step 6 is saved in '{tmp_path}'" in process.stderr
    assert "Start again in the same way" in process.stderr
    assert checkpoints(tmp_path) == [0, 4, 6]
    assert one_weight.run(tmp_path, vocab_file) == whole


def test_the_handler_is_put_back(vocab_file, tmp_path, monkeypatch):
    terminate_in_step(monkeypatch, 1)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Preempted, match="step 1"):
        one_weight.run(tmp_path, vocab_file)
    assert signal.getsignal(signal.SIGTERM) is before
    assert checkpoints(tmp_path) == [0, 1]


TWO_STAGES = dataclasses.replace(one_weight.CONFIG, steps=8, stages="1:50%,2:50%")


def test_sigterm_in_the_last_step_of_a_stage(vocab_file, tmp_path):
    """The next stage does not begin, until the run is started again."""
    whole = one_weight.run(tmp_path / "whole", vocab_file, TWO_STAGES)
    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        terminate_in_step(patch, 4)
        with pytest.raises(Preempted, match=r"step 4 is saved in '.*stage-1'"):
            one_weight.run(run, vocab_file, TWO_STAGES)
        assert [path.name for path in run.iterdir()] == ["stage-1"]
        # The second stage's last step is the run's. What is finished is read back.
        with pytest.raises(Preempted, match=r"step 4 is saved in '.*stage-2'"):
            one_weight.run(run, vocab_file, TWO_STAGES)
    assert one_weight.run(run, vocab_file, TWO_STAGES) == whole


def test_sigterm_between_stages(vocab_file, tmp_path):
    made = []

    class Asking(HeldOut):
        def __init__(self, *arguments):  # before the stage's first step
            super().__init__(*arguments)
            made.append(1)
            if len(made) == 2:
                terminate()

        def measure(self):
            pass

        def record(self, measured):
            pass

    with pytest.raises(Preempted, match="between steps: what was saved stays"):
        one_weight.run(tmp_path, vocab_file, TWO_STAGES, callback=Asking)
    assert checkpoints(tmp_path / "stage-1") == [0, 4]
    assert not (tmp_path / "stage-2").exists()


def test_sigterm_that_is_swallowed_between_steps(vocab_file, tmp_path):
    """Whoever catches everything does not keep the run from ending before its next step."""

    class Asking(HeldOut):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            with contextlib.suppress(Exception):
                terminate()

    with pytest.raises(Preempted, match="the checkpoint of step 0 is saved"):
        one_weight.run(tmp_path, vocab_file, callback=Asking)
    assert checkpoints(tmp_path) == [0]


def test_sigterm_while_files_are_read(new_model, pairs, tmp_path, monkeypatch):
    """One handler for the whole call of `fine_tune`."""
    monkeypatch.setattr(fine_tuning, "read_pairs", lambda *_, **options: terminate())
    with pytest.raises(Preempted):
        fine_tune(new_model(), [pairs], CONFIG, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@contextlib.contextmanager
def file_sizes_limited(size):
    """Stands in for a full disk, or FAT's 4 GB: a write fails in the middle, for real."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_best_weights_that_cannot_be_written(vocab_file, tmp_path):
    """`fit` would take TensorFlow's error for the end of the data, and the run seem finished."""

    class Writing(HeldOut):
        def measure(self):
            pass

        def record(self, measured):
            with file_sizes_limited(8000) if self._step == 6 else contextlib.nullcontext():
                self._state.save_best()

    config = dataclasses.replace(one_weight.CONFIG, evaluate_every=3)
    with pytest.raises(OSError, match="The best encoder of step 6 could not be written") as error:
        one_weight.run(tmp_path, vocab_file, config, callback=Writing)
    assert "The last good checkpoint is" in str(error.value) and "ckpt-4. " in str(error.value)
    # The best one so far is whole, and nothing of the other is left.
    best = tf.train.load_checkpoint(str(tmp_path / "best" / "encoder"))
    assert best.get_variable_to_shape_map()["encoder/ballast/.ATTRIBUTES/VARIABLE_VALUE"] == [2048]
    assert not [name for name in os.listdir(tmp_path) if "unfinished" in name]


def test_logs_that_cannot_be_written(vocab_file, tmp_path):
    (tmp_path / "logs").touch()
    with pytest.raises(OSError, match=r"The log of step 2 could not be written.* .*ckpt-0\. "):
        one_weight.run(tmp_path, vocab_file)


@pytest.mark.parametrize(
    "error", [StopIteration("here"), tf.errors.OutOfRangeError(None, None, "here")]
)
def test_what_fit_takes_for_the_end_of_the_data(error, vocab_file, tmp_path):
    class Failing(HeldOut):
        def measure(self):
            raise error

    config = dataclasses.replace(one_weight.CONFIG, evaluate_every=3)
    with pytest.raises(RuntimeError, match=r"A callback failed in step 3 .*: here"):
        one_weight.run(tmp_path, vocab_file, config, callback=Failing)


def test_data_that_ends(vocab_file, tmp_path, monkeypatch):
    endless = one_weight.dataset
    monkeypatch.setattr(one_weight, "dataset", lambda context, skip: endless(context, skip).take(5))
    with pytest.raises(ValueError, match=r"The data ended after step 5 of 12\. .*ckpt-4\. "):
        one_weight.run(tmp_path, vocab_file)


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
    assert "The last good checkpoint is" in process.stderr and "ckpt-4." in process.stderr
    assert checkpoints(tmp_path) == [0, 4]
    assert not [p for p in (tmp_path / "checkpoints").iterdir() if "ckpt-8" in p.name]
    assert one_weight.run(tmp_path, vocab_file) == whole
