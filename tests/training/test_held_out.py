"""When callbacks measure on held-out data, and where their figures go."""

import dataclasses

import pytest

from labse_tf.training.held_out import HeldOut
from labse_tf.training.preemption import Preempted, Preemption
from tests.training import one_weight
from tests.training.logs import read_logs

CONFIG = dataclasses.replace(one_weight.CONFIG, steps=7, evaluate_every=3)


class Counting(HeldOut):
    """What it measures is how often it did."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.figure = 0.0

    def evaluate(self):
        self.figure += 1
        self.report({"figure": self.figure}, f"figure: {self.figure:.0f}")


def lines(text):
    return [line for line in text.splitlines() if "figure" in line]


def test_every_third_step_and_the_last(vocab_file, tmp_path, capsys):
    one_weight.run(tmp_path, vocab_file, CONFIG, callback=Counting)
    expected = ["3/7 - figure: 1", "6/7 - figure: 2", "7/7 - figure: 3"]
    assert lines(capsys.readouterr().out) == expected
    assert read_logs(tmp_path)["figure"] == {3: 1.0, 6: 2.0, 7: 3.0}


def test_a_run_that_goes_on(vocab_file, tmp_path, monkeypatch, capsys):
    """The steps of the whole run count, not those since it was started again."""
    asked = iter([False] * 3 + [True] + [False] * 3)
    monkeypatch.setattr(Preemption, "asked", lambda self: next(asked))
    with pytest.raises(Preempted, match="step 4"):
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
