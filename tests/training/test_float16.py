"""Training in float16 with a loss scale: the arithmetic, skipped steps, runs that go on."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from labse_tf.optimizers import loss_scale
from labse_tf.training.fine_tuning import fine_tune
from labse_tf.training.preemption import Preempted
from tests.training.logs import read_logs
from tests.training.replicas import (
    GLOBAL_BATCH,
    ONE_DEVICE,
    global_batches,
    loss_and_gradients,
    make_dual_encoder,
)
from tests.training.runs import CONFIG, assert_same, weights
from tests.training.signals import terminate_in_step


@pytest.mark.parametrize("chunk_size", [0, 3])
def test_gradients_are_near_those_of_float32(chunk_size):
    """And times the scale: the smallest would be 0 in float16 without it."""
    loss, negatives, gradients = loss_and_gradients(dropout=0.3)
    half = loss_and_gradients(dropout=0.3, precision="float16", chunk_size=chunk_size)
    assert half[0] == pytest.approx(loss, rel=2e-3) and half[0] != loss
    assert half[1] == negatives
    for exact, scaled in zip(gradients, half[2], strict=True):
        difference = np.abs(scaled / loss_scale.FIRST - exact).max()
        assert difference < 0.02 * np.abs(exact).max() + 1e-4


@pytest.mark.parametrize("replicas", [1, 2])
def test_an_overflow_is_skipped_on_every_replica(replicas, mirrored):
    """A gradient that float16 does not hold: no weight moves, and the scale is halved."""
    strategy = mirrored(replicas) if replicas > 1 else ONE_DEVICE
    with strategy.scope():
        model = make_dual_encoder(num_layers=0, precision="float16")
        scale = model.optimizer.loss_scale
    before = [w.numpy() for w in model.encoder.weights]
    batches = list(global_batches(2))
    dataset = tf.data.Dataset.from_tensor_slices(
        tf.nest.map_structure(lambda *x: np.concatenate(x), *batches)
    ).batch(GLOBAL_BATCH)
    scale.scale.assign(2.0**22)
    model.fit(dataset.take(1), verbose=0)
    for weight, old in zip(model.encoder.weights, before, strict=True):
        np.testing.assert_array_equal(weight, old)
    assert float(scale.scale) == 2.0**21
    assert (int(scale.skipped), int(model.optimizer.iterations)) == (1, 1)
    scale.scale.assign(2.0**10)
    history = model.fit(dataset.skip(1), verbose=0).history
    assert history["loss_scale"] == [2.0**10] and 1 < history["gradient_norm"][0] < 1000
    assert (int(scale.skipped), int(model.optimizer.iterations)) == (1, 2)
    moved = [np.abs(w - old).max() for w, old in zip(model.encoder.weights, before, strict=True)]
    assert max(moved) == pytest.approx(0.01, rel=0.1)  # Adam's first step, whatever was skipped


def test_a_run_that_goes_on(new_model, pairs, tmp_path, monkeypatch):
    """The scale is a part of the checkpoint: the weights are those of a run without a break."""
    monkeypatch.setattr(loss_scale, "FIRST", 2.0**24)
    monkeypatch.setattr(loss_scale, "GROWTH_STEPS", 3)
    config = dataclasses.replace(
        CONFIG, steps=10, report_every=1, precision="float16", ema_decay=0.5, warmup_steps=1
    )
    whole = fine_tune(new_model(0), [pairs], config, tmp_path / "whole")
    scales = [np.log2(x) for x in read_logs(tmp_path / "whole")["loss_scale"].values()]
    steps = np.diff(scales)
    assert {*steps} == {-1.0, 0.0, 1.0}, scales
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Preempted):
        terminate_in_step(patch, 5)
        fine_tune(new_model(0), [pairs], config, tmp_path / "run")
    resumed = fine_tune(new_model(0), [pairs], config, tmp_path / "run")
    assert_same(resumed, whole)
    moved = zip(weights(whole), weights(new_model(0)), strict=True)
    assert max(np.abs(a - b).max() for a, b in moved) > 0.005
    with pytest.raises(ValueError, match="precision was 'float16', now 'float32'"):
        single = dataclasses.replace(config, precision="float32")
        fine_tune(new_model(0), [pairs], single, tmp_path / "run")
