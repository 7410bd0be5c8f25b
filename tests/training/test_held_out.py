"""When callbacks measure on held-out data, and where their figures go."""

import dataclasses

import pytest
import tensorflow as tf

from labse_tf.training.held_out import HeldOut
from labse_tf.training.preemption import Preempted
from tests.training import one_weight
from tests.training.logs import read_logs
from tests.training.signals import terminate_in_step

CONFIG = dataclasses.replace(one_weight.CONFIG, steps=7, evaluate_every=3)


class Counting(HeldOut):
    """What it measures is how often it did."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.figure = 0.0

    def evaluate(self):
        self.figure += 1
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

    def evaluate(self):
        self.measured.append(float(self.model.encoder.weight.numpy()))
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
        averages = [0.0]
        for weight in recording.trained:
            averages.append((averages[-1] + weight) / 2)
        expected = [averages[3], averages[6], averages[7]]
        assert recording.measured == pytest.approx(expected, rel=1e-5)
        assert len(set(recording.trained)) == 7 and recording.trained[2] > 1.1 * averages[3]
        best = tf.train.load_checkpoint(str(tmp_path / name / "best" / "encoder"))
        found = best.get_tensor("encoder/weight/.ATTRIBUTES/VARIABLE_VALUE")
        assert found == pytest.approx(averages[6], rel=1e-5)
