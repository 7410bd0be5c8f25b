"""The schedule at its corners; AdamW's step, decay and clipping against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from labse_tf.optimizers.adamw import AdamW
from labse_tf.optimizers.gradients import clip_by_global_norm
from labse_tf.optimizers.schedules import WarmupLinearDecay


def test_schedule_by_hand():
    # Up in 4 steps, then down over the 6 that remain to 10.
    rate = WarmupLinearDecay(0.6, 4, 10)
    rates = [float(rate(step)) for step in range(11)]
    expected = [0.15, 0.3, 0.45, 0.6, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0]
    np.testing.assert_allclose(rates, expected, atol=1e-6)
    assert float(WarmupLinearDecay(0.6, 0, 10)(0)) == pytest.approx(0.6)
    # The second stage, from step 6 on: up in 2 steps, to where the first one would have been.
    later = WarmupLinearDecay(0.6, 2, 10, first=6)
    np.testing.assert_allclose([float(later(step)) for step in range(4)], [0.3, 0.225, 0.15, 0.075])
    assert WarmupLinearDecay(**rate.get_config()).get_config() == rate.get_config()
    for warmup in (-1, 10):
        with pytest.raises(ValueError, match=rf"`warmup_steps` \(={warmup}\)"):
            WarmupLinearDecay(0.6, warmup, 10)


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("clip", [0.0, 0.5])
def test_two_steps_by_numpy(decay, clip):
    names = ("kernel", "bias", "layer_norm_scale")
    rng = np.random.default_rng(0)
    values = {name: rng.normal(size=[3, 2]) for name in names}
    variables = [tf.Variable(values[name], dtype=tf.float32, name=name) for name in names]
    optimizer = AdamW(0.01, weight_decay=decay)
    first = dict.fromkeys(names, 0.0)
    second = dict.fromkeys(names, 0.0)
    for step in (1, 2):
        gradients = {name: rng.normal(size=[3, 2]) for name in names}
        tensors = [tf.constant(gradients[name], tf.float32) for name in names]
        clipped, found = clip_by_global_norm(tensors, clip)
        optimizer.apply_gradients(zip(clipped, variables))
        norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
        assert float(found) == pytest.approx(norm)
        for name in names:
            g = gradients[name] * (min(1.0, clip / norm) if clip else 1.0)
            if name == "kernel":
                values[name] = values[name] * (1 - 0.01 * decay)
            first[name] = 0.9 * first[name] + 0.1 * g
            second[name] = 0.999 * second[name] + 0.001 * g**2
            # Bias-corrected, with tf_keras' epsilon beside the uncorrected root.
            rate = 0.01 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            values[name] = values[name] - rate * first[name] / (np.sqrt(second[name]) + 1e-6)
    for name, variable in zip(names, variables):
        np.testing.assert_allclose(variable, values[name], atol=1e-6, err_msg=name)
