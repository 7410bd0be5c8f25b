"""When callbacks measure on held-out data, and where their figures go."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from labse_tf.training.held_out import HeldOut
from labse_tf.training.preemption import Preempted
from labse_tf.training.progress import unfinished
from tests.training import one_weight
from tests.training.logs import read_logs
from tests.training.runs import checkpoints
from tests.training.signals import terminate, terminate_in_step

CONFIG = dataclasses.replace(one_weight.CONFIG, steps=7, evaluate_every=3)


class Counting(HeldOut):
    """What it measures is how often it did."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.figure = 0.0

    def measure(self):
        return self.figure + 1

    def record(self, measured):
        self.figure = measured
        self.report({"figure": self.figure}, f"figure: {self.figure:.0f}")


class Recording(HeldOut):
    """The weight after each step; and when it is measured, what it is then. The 2nd is the best."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.trained, self.measured = [], []
        recordings.append(self)

    def on_train_batch_end(self, batch, logs=None):
        self.trained.append(float(self.model.encoder.weight.numpy()))
        super().on_train_batch_end(batch, logs)
        assert float(self.model.encoder.weight.numpy()) == self.trained[-1]

    def measure(self):
        return float(self.model.encoder.weight.numpy())

    def record(self, measured):
        self.measured.append(measured)
        if len(self.measured) == 2:
            self._state.save_best()


recordings = []


def lines(text):
    return [line for line in text.splitlines() if "figure" in line]


def test_every_third_step_and_the_last(vocab_file, tmp_path, capsys):
    one_weight.run(tmp_path, vocab_file, CONFIG, callback=Counting)
    expected = ["3/7 - figure: 1", "6/7 - figure: 2", "7/7 - figure: 3"]
    assert lines(capsys.readouterr().out) == expected
    assert read_logs(tmp_path)["figure"] == {3: 1.0, 6: 2.0, 7: 3.0}


def test_a_run_that_goes_on(vocab_file, tmp_path, monkeypatch, capsys):
    """The steps of the whole run count, not those since it was started again."""
    with monkeypatch.context() as patch, pytest.raises(Preempted, match="step 4"):
        terminate_in_step(patch, 4)
        one_weight.run(tmp_path, vocab_file, CONFIG, callback=Counting)
    assert lines(capsys.readouterr().out) == ["3/7 - figure: 1"]
    one_weight.run(tmp_path, vocab_file, CONFIG, callback=Counting)
    assert lines(capsys.readouterr().out) == ["6/7 - figure: 1", "7/7 - figure: 2"]


@pytest.mark.parametrize("step", [3, 7])
def test_sigterm_puts_a_measurement_off(step, vocab_file, tmp_path, capsys):
    """The checkpoint is saved first; the measurement is taken when the run is started again."""
    whole = one_weight.run(tmp_path / "whole", vocab_file, CONFIG)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Preempted, match=f"step {step}"):
        terminate_in_step(patch, step)
        one_weight.run(tmp_path / "run", vocab_file, CONFIG, callback=Counting)
    before = lines(capsys.readouterr().out)
    assert before == ["3/7 - figure: 1", "6/7 - figure: 2"][: (step - 1) // 3]
    assert checkpoints(tmp_path / "run")[-1] == step
    assert unfinished(tmp_path / "run") == f"step {step} of 7"
    assert one_weight.run(tmp_path / "run", vocab_file, CONFIG, callback=Counting) == whole
    found = [line.split(" - ")[0] for line in before + lines(capsys.readouterr().out)]
    assert found == ["3/7", "6/7", "7/7"]
    assert unfinished(tmp_path / "run") == ""
    one_weight.run(tmp_path / "run", vocab_file, CONFIG, callback=Counting)
    assert not lines(capsys.readouterr().out)


@pytest.mark.parametrize("ema_decay", [0.0, 0.5])
def test_sigterm_ends_a_measurement(ema_decay, vocab_file, tmp_path, capsys):
    """Not at its end, which may be minutes later; with moving averages too."""
    config = dataclasses.replace(CONFIG, ema_decay=ema_decay)
    whole = one_weight.run(tmp_path / "whole", vocab_file, config)

    class Terminated(Counting):
        def measure(self):
            terminate()
            raise AssertionError("The measurement continued.")

    with pytest.raises(Preempted, match="the checkpoint of step 3 is saved"):
        one_weight.run(tmp_path / "run", vocab_file, config, callback=Terminated)
    assert not lines(capsys.readouterr().out)
    assert one_weight.run(tmp_path / "run", vocab_file, config, callback=Counting) == whole
    assert [line.split(" - ")[0] for line in lines(capsys.readouterr().out)] == [
        "3/7",
        "6/7",
        "7/7",
    ]


def test_stages(vocab_file, tmp_path, capsys):
    """Their last steps are measured after, too; the steps are those of the whole run."""
    config = dataclasses.replace(CONFIG, steps=8, stages="1:50%,2:50%")
    one_weight.run(tmp_path, vocab_file, config, callback=Counting)
    expected = ["3/8 - figure: 1", "4/8 - figure: 2", "6/8 - figure: 1", "8/8 - figure: 2"]
    assert lines(capsys.readouterr().out) == expected
    assert read_logs(tmp_path / "stage-2")["figure"] == {6: 1.0, 8: 2.0}


def test_the_moving_average_is_what_is_measured(vocab_file, tmp_path, mirrored):
    """And what is kept as the best; the run goes on from its own weights."""
    config = dataclasses.replace(CONFIG, ema_decay=0.5)
    for name, strategy in (("one", tf.distribute.get_strategy()), ("two", mirrored(2))):
        recordings.clear()
        with strategy.scope():
            one_weight.run(tmp_path / name, vocab_file, config, callback=Recording)
        (recording,) = recordings
        # The mean of the weights after each step, the newest of which counts twice as much.
        trained = recording.trained
        averages = [None] + [
            np.average(trained[:t], weights=[2**i for i in range(t)]) for t in range(1, 8)
        ]
        expected = [averages[3], averages[6], averages[7]]
        assert recording.measured == pytest.approx(expected, rel=1e-5)
        assert len(set(trained)) == 7 and trained[2] > 1.05 * averages[3]
        best = tf.train.load_checkpoint(str(tmp_path / name / "best" / "encoder"))
        found = best.get_tensor("encoder/weight/.ATTRIBUTES/VARIABLE_VALUE")
        assert found == pytest.approx(averages[6], rel=1e-5)
