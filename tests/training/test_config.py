"""Configurations: what is out of range, and the learning rate."""

import dataclasses

import pytest

from labse_tf.training.config import FineTuningConfig, PretrainingConfig, TrainingConfig

FINE_TUNING = FineTuningConfig(steps=12, warmup_steps=2)
PRETRAINING = PretrainingConfig(steps=8, warmup_steps=1, stages="1:50%,2:50%")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", -1),
        ("batch_size", 1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("warmup_steps", 12),
        ("weight_decay", -0.1),
        ("ema_decay", 1.0),
        ("precision", "float64"),
        ("checkpoint_every", 0),
        ("keep_checkpoints", 0),
        ("report_every", 0),
        ("evaluate_every", 0),
        ("shuffle_buffer", 0),
        ("scale", -1.0),
        ("margin", -0.1),
        ("patience", -1),
    ],
)
def test_fine_tuning(field, value):
    with pytest.raises(ValueError, match=rf"`{field}` \(={value!r}\)"):
        dataclasses.replace(FINE_TUNING, **{field: value})


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("mask_rate", 0.0, r"`mask_rate` \(=0.0\)"),
        ("tlm_share", 1.5, r"`tlm_share` \(=1.5\)"),
        ("max_predictions", -1, r"`max_predictions` \(=-1\)"),
        ("logits_mb", 0, r"`logits_mb` \(=0\)"),
        ("evaluate_every", 0, r"`evaluate_every` \(=0\)"),
        ("stages", "2:50%,3:50%", "must be a multiple of the one before"),
        ("stages", "0:50%,3:50%", "must be a multiple of the one before"),
        ("warmup_steps", 4, r"`warmup_steps` \(=4\) must be below the steps of every stage \(=4\)"),
    ],
)
def test_pretraining(field, value, said):
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(PRETRAINING, **{field: value})


def test_rows_are_updated_where_shapes_may_change():
    assert FINE_TUNING.updates_rows
    static = dataclasses.replace(FINE_TUNING, static_width=True)
    assert not static.updates_rows
    assert not dataclasses.replace(FINE_TUNING, row_sparse=False).updates_rows
    with pytest.raises(ValueError, match=r"`row_sparse` \(=True\) .* `static_width` \(=True\)"):
        dataclasses.replace(static, row_sparse=True)


def test_the_learning_rate_of_a_stage():
    """Up to 0.5 in 2 steps of each stage; down to 0 over the 8 others of the whole run."""
    config = TrainingConfig(steps=10, warmup_steps=2, learning_rate=0.5, stages="1:40%,2:60%")
    first, second = (
        [float(config.schedule(stage)(step)) for step in range(stage.steps)]
        for stage in config.parsed_stages
    )
    assert first == pytest.approx([0.25, 0.5, 0.5, 0.5 * 7 / 8])
    assert second == pytest.approx([0.25] + [0.5 * n / 8 for n in (5, 4, 3, 2, 1)])
    (only,) = (started := dataclasses.replace(config, steps=0, stages="")).parsed_stages
    assert float(started.schedule(only)(0)) == 0.5
