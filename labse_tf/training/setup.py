"""What a stage of pre-training and one of translation ranking are set up with alike."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from labse_tf.encoder.precision import weights_dtype_of
from labse_tf.inference.model import LaBSE
from labse_tf.optimizers.adamw import AdamW
from labse_tf.optimizers.schedules import WarmupLinearDecay
from labse_tf.training.checkpoints import TrainingState
from labse_tf.training.config import TrainingConfig
from labse_tf.training.stages import Stage

Files = Sequence[str | os.PathLike]


def strategy_of(model: LaBSE) -> tf.distribute.Strategy:
    """The strategy that a model was made in.

    Raises:
        ValueError: the model was loaded to embed only, in bfloat16 or with another backend.
    """
    if model.backend is not None or weights_dtype_of(model.encoder) != "float32":
        raise ValueError(
            "This model was loaded to embed only. Load it without `precision` and `backend` to "
            "train it."
        )
    weight = model.encoder.trainable_weights[0]
    return getattr(weight, "distribute_strategy", tf.distribute.get_strategy())


def rate_of(config: TrainingConfig, stage: Stage) -> WarmupLinearDecay:
    """The learning rate, by the step of the stage."""
    warmup_steps = config.warmup_steps if config.steps else 0  # 0 steps: only start the run
    return WarmupLinearDecay(
        config.learning_rate, warmup_steps, max(config.steps, 1), first=stage.first
    )


def settings_of(config: TrainingConfig, **files: Files) -> dict[str, Any]:
    """What must be the same when a run is started again; files by their absolute paths."""
    paths = {name: [os.path.abspath(path) for path in given] for name, given in files.items()}
    return dataclasses.asdict(config) | paths


def state_of(
    model: LaBSE,
    optimizer: AdamW,
    config: TrainingConfig,
    stage: Stage,
    workdir: str | os.PathLike,
    settings: dict[str, Any],
    parts: Mapping[str, Any] | None = None,
) -> TrainingState:
    """The stage's checkpoints; see `TrainingState`, which raises."""
    return TrainingState(
        os.path.join(workdir, stage.name) if stage.name else workdir,
        model,
        optimizer,
        settings,
        config.keep_checkpoints,
        tf.distribute.get_strategy(),
        parts,
    )
