"""fine_tune on pairs that are no files, with a user's callbacks, and what it says."""

import dataclasses
import json

import pytest
import tensorflow as tf
import tf_keras

from labse_tf.data.pair_files import read_columns
from labse_tf.training.fine_tuning import fine_tune
from tests.training.logs import read_logs
from tests.training.runs import CONFIG, assert_same, checkpoints, weights


class Steps(tf_keras.callbacks.Callback):
    def __init__(self, last=None):
        super().__init__()
        self.steps, self.last = [], last

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append((batch + 1, logs["loss"] > 0))
        self.model.stop_training = batch + 1 == self.last


def test_a_list(finished, new_model, pairs, tmp_path, capfd):
    """The weights are those of the file, to the bit, and so is what is measured."""
    rows, callback = list(read_columns(pairs)), Steps()
    model = fine_tune(
        new_model(), rows, CONFIG, tmp_path, held_out=rows, callbacks=[callback], verbose=0
    )
    assert_same(model, finished[1])
    name = "held_out_p_at_1"
    assert read_logs(tmp_path)[name] == read_logs(finished[0])[name]
    assert callback.steps == [(step, True) for step in range(1, 13)]
    assert capfd.readouterr().out == ""
    # It is known by its content: the file is the same, another list is not.
    assert_same(fine_tune(new_model(), [pairs], CONFIG, tmp_path, held_out=rows), model)
    settings = json.loads((tmp_path / "config.json").read_text())["settings"]
    assert settings["pairs"] == ["a list of 100 pairs"]
    with pytest.raises(ValueError, match="'a list of 99 pairs' has another content"):
        fine_tune(new_model(), rows[1:], CONFIG, tmp_path, held_out=rows)


def test_a_dataset_and_a_callback_that_ends_the_run(new_model, pairs, tmp_path):
    """In the step in which it says so, which is saved as the last one."""
    rows = list(read_columns(pairs))
    dataset = tf.data.Dataset.from_tensor_slices(tuple(map(tf.constant, zip(*rows))))
    model = fine_tune(new_model(0), dataset, CONFIG, tmp_path, callbacks=[callback := Steps(3)])
    assert [step for step, _ in callback.steps] == [1, 2, 3]
    assert checkpoints(tmp_path) == [0, 3]
    assert_same(fine_tune(new_model(0), rows, CONFIG, tmp_path), model)  # read back
    assert max(abs(a - b).max() for a, b in zip(weights(model), weights(new_model(0)))) > 0.005
    other = dataset.map(lambda source, target: (target, source))
    with pytest.raises(ValueError, match="Dataset of 100 pairs' has another content"):
        fine_tune(new_model(0), other, CONFIG, tmp_path)


def test_what_is_refused_before_anything_is_done(new_model, pairs, tmp_path):
    model = new_model(0)
    keras3 = tf.keras.callbacks.Callback()
    with pytest.raises(TypeError, match=r"keras\.src\..*Callback, which is no tf_keras.callbacks"):
        fine_tune(model, pairs, CONFIG, tmp_path / "run", callbacks=[keras3])
    with pytest.raises(ValueError, match=r"`verbose` \(=3\) must be 0, 1 or 2"):
        fine_tune(model, pairs, CONFIG, tmp_path / "run", verbose=3)
    negatives = dataclasses.replace(CONFIG, hard_negatives=1)
    with pytest.raises(ValueError, match=r"Pair 1: expected 3 str .*`hard_negatives` is 1"):
        fine_tune(model, [("a", "b")], negatives, tmp_path / "run")
    assert not (tmp_path / "run").exists()
