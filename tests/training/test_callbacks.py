"""Steps that are checked and reported, in runs of one weight."""

import dataclasses
import io
import math
import sys

import numpy as np
import pytest
import tensorflow as tf

from labse_tf.training.output import Output
from tests.training import one_weight
from tests.training.runs import checkpoints

nan, inf = math.nan, math.inf


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"loss": nan}, "The loss of step 6 is nan"),
        ({"loss": inf}, "The loss of step 6 is inf"),
        ({"gradient_norm": nan}, "The norm of the gradient of step 6 is nan"),
        ({"gradient_norm": nan, "loss": -inf}, "The loss of step 6 is -inf"),
    ],
)
def test_a_step_that_is_not_finite(figures, said, vocab_file, tmp_path):
    """Nothing is saved from there on, and what was read for it is in a file."""
    # The second time the run goes on from the checkpoint of step 4, and step 6 is its second one.
    for _ in range(2):
        with pytest.raises(FloatingPointError) as error:
            one_weight.run(tmp_path, vocab_file, figures={6: figures})
        message = str(error.value)
        last = f"The last good checkpoint is {tmp_path}/checkpoints/ckpt-4;"
        assert message.startswith(f"{said}. {last}")
        assert f"{str(tmp_path / 'not-finite-step-6.npz')!r}. Lower the learning rate" in message
        with np.load(tmp_path / "not-finite-step-6.npz") as written:
            (rows,) = written["0/ids"]
        np.testing.assert_array_equal(rows, one_weight.IDS[5])
        assert checkpoints(tmp_path) == [0, 4]
        (tmp_path / "not-finite-step-6.npz").unlink()


def test_what_cannot_be_written_does_not_hide_the_step(vocab_file, tmp_path):
    (tmp_path / "not-finite-step-6.npz").mkdir()
    with pytest.raises(FloatingPointError, match=r"step 6 is nan.*could not be written: "):
        one_weight.run(tmp_path, vocab_file, figures={6: {"loss": nan}})


def test_replicas_with_rows_of_different_widths(mirrored, vocab_file, tmp_path, monkeypatch):
    """As those of pairs in pre-training: each replica pads to a width of its own."""
    widths = [1, 2, 3, 5, 2, 2]

    def dataset(context, skip):
        def rows():
            for width in widths * 4:
                yield ({"ids": np.full(width, width, np.int32)},)

        signature = ({"ids": tf.TensorSpec([None], tf.int32)},)
        elements = tf.data.Dataset.from_generator(rows, output_signature=signature)
        return elements.skip(skip * context.num_replicas_in_sync)

    monkeypatch.setattr(one_weight, "dataset", dataset)
    with mirrored(2).scope(), pytest.raises(FloatingPointError, match=r"step 2 is nan.* are in '"):
        one_weight.run(tmp_path, vocab_file, figures={2: {"loss": nan}})
    with np.load(tmp_path / "not-finite-step-2.npz") as written:
        np.testing.assert_array_equal(written["0/ids"], [[3, 3, 3, 0, 0], [5, 5, 5, 5, 5]])


def test_a_step_that_cannot_be_read_again(vocab_file, tmp_path, monkeypatch):
    """Whatever is raised then does not hide why the run ends."""
    dataset = one_weight.dataset

    def once(context, skip):
        if skip:
            raise RuntimeError("gone")
        return dataset(context, skip)

    monkeypatch.setattr(one_weight, "dataset", once)
    with pytest.raises(FloatingPointError, match=r"step 6 is nan.* written: RuntimeError: gone\."):
        one_weight.run(tmp_path, vocab_file, figures={6: {"loss": nan}})


FIGURES = {step: {"loss": float(step)} for step in range(1, 6)}
FIVE_STEPS = dataclasses.replace(one_weight.CONFIG, steps=5)


def test_lines(vocab_file, tmp_path, capsys):
    """A line every second step and after the last; the loss is the mean since the line before."""
    one_weight.run(tmp_path, vocab_file, FIVE_STEPS, FIGURES)
    lines = [line.split(" - ") for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines] == [
        ["2/5", "loss: 1.5"], ["4/5", "loss: 3.5"], ["5/5", "loss: 5"]
    ]  # fmt: skip
    for *_, norm, speed in lines:
        assert norm.startswith("gradient_norm: ") and speed.startswith("rows/s: ")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_bar_of_a_terminal(vocab_file, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    one_weight.run(tmp_path, vocab_file, FIVE_STEPS, FIGURES)
    last = terminal.getvalue().rstrip().splitlines()[-1].split("\r")[-1]
    assert " 5/5 [" in last and "loss: 5 - " in last and "rows/s: " in last


@pytest.mark.parametrize(("verbose", "lines"), [(0, 0), (2, 3)])
def test_no_bar_on_a_terminal(verbose, lines, monkeypatch):
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    output = Output(verbose)
    output.begin(0, 10)
    for step in range(1, 7):
        output.step(step, {"loss": 1.0}, step % 2 == 0)
    output.end()
    expected = [f"{step}/10 - loss: 1" for step in (2, 4, 6)]
    assert terminal.getvalue().splitlines() == expected[:lines]
