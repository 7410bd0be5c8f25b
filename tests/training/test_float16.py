"""Training in float16 with a loss scale: the arithmetic, skipped steps, runs that go on."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from labse_tf.optimizers import loss_scale
from labse_tf.training.fine_tuning import fine_tune
from labse_tf.training.preemption import Preempted
from tests.training import one_weight
from tests.training.logs import read_logs
from tests.training.replicas import (
    GLOBAL_BATCH,
    ONE_DEVICE,
    global_batches,
    make_dual_encoder,
)
from tests.training.runs import CONFIG, weights
from tests.training.signals import terminate_in_step


@pytest.mark.parametrize("chunk_size", [0, 3])
def test_gradients_are_near_those_of_float32(chunk_size, monkeypatch):
    """And times the scale, before the encoder has any in float16."""
    monkeypatch.setattr(loss_scale, "FIRST", 2.0**8)
    (batch,) = tf.nest.map_structure(tf.constant, list(global_batches(1)))
    loss, negatives, gradients = make_dual_encoder(dropout=0.3).gradients(batch)
    model = make_dual_encoder(dropout=0.3, precision="float16", chunk_size=chunk_size)
    half = model.gradients(batch)
    assert float(half[0]) == pytest.approx(float(loss), rel=2e-3) and half[0] != loss
    assert half[1] == negatives
    for exact, scaled in zip(gradients, half[2], strict=True):
        exact, scaled = (tf.convert_to_tensor(x).numpy() for x in (exact, scaled))
        difference = np.abs(scaled / 2.0**8 - exact).max()
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
        np.testing.assert_array_equal(weight.numpy(), old)
    assert scale.scale.numpy() == 2.0**21
    assert (scale.skipped.numpy(), model.optimizer.iterations.numpy()) == (1, 1)
    scale.scale.assign(2.0**10)
    history = model.fit(dataset.skip(1), verbose=0).history
    assert history["loss_scale"] == [2.0**10] and 1 < history["gradient_norm"][0] < 1000
    assert (scale.skipped.numpy(), model.optimizer.iterations.numpy()) == (1, 2)
    moved = [
        np.abs(w.numpy() - old).max() for w, old in zip(model.encoder.weights, before, strict=True)
    ]
    assert max(moved) == pytest.approx(0.01, rel=0.1)  # Adam's first step, whatever was skipped


def test_a_run_that_goes_on(vocab_file, tmp_path, monkeypatch):
    """The scale is a part of the checkpoint: the weight is that of a run without a break."""
    monkeypatch.setattr(loss_scale, "GROWTH_STEPS", 3)
    config = dataclasses.replace(one_weight.CONFIG, report_every=1, precision="float16")
    config = dataclasses.replace(config, ema_decay=0.5)
    options = dict(config=config, overflows=(2, 7))
    whole = one_weight.run(tmp_path / "whole", vocab_file, **options)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Preempted):
        terminate_in_step(patch, 5)
        one_weight.run(tmp_path / "run", vocab_file, **options)
    assert one_weight.run(tmp_path / "run", vocab_file, **options) == whole
    expected = [15, 14, 14, 14, 15, 15, 14, 14, 14, 15, 15, 15]
    for run in ("whole", "run"):
        scales = read_logs(tmp_path / run)["loss_scale"]
        assert {step: np.log2(scale) for step, scale in scales.items()} == dict(
            enumerate(expected, 1)
        )
    with pytest.raises(ValueError, match="precision was 'float16', now 'float32'"):
        single = dataclasses.replace(config, precision="float32")
        one_weight.run(tmp_path / "run", vocab_file, single)


def test_fine_tuning(new_model, pairs, tmp_path):
    """The weights themselves stay float32."""
    model, start = new_model(0), new_model(0)
    config = dataclasses.replace(CONFIG, steps=4, report_every=1, precision="float16")
    fine_tune(model, [pairs], config, tmp_path)
    assert model.encoder.compute_dtype == "float32"
    logs = read_logs(tmp_path)
    scales = logs["loss_scale"]
    assert 2.0**11 <= scales[4] <= 2.0**15 and np.isfinite([*logs["gradient_norm"].values()]).all()
    moved = zip(weights(model), weights(start), strict=True)
    assert max(np.abs(a - b).max() for a, b in moved) > 0.005
