"""train: takes the steps of one stage, for translation ranking and pre-training alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf
import tf_keras

from labse_tf.training.callbacks import Checkpoints, Reports, StopUnlessFinite
from labse_tf.training.checkpoints import TrainingState
from labse_tf.training.config import TrainingConfig
from labse_tf.training.preemption import Preemption
from labse_tf.training.stages import Stage

Dataset = Callable[[tf.distribute.InputContext, int], tf.data.Dataset]


def train(
    task: tf_keras.Model,
    config: TrainingConfig,
    stage: Stage,
    state: TrainingState,
    dataset: Dataset,
    *,
    unit: str,
    callbacks: Sequence[tf_keras.callbacks.Callback] = (),
) -> None:
    """Takes the steps of a stage that are not finished, with checks, reports and checkpoints.

    Args:
        task: compiled. Its metrics are those of the global batch; "loss" and "gradient_norm" must
            stay finite.
        config: how often to report and to save.
        stage: which steps of the run to take.
        state: of the stage; holds the optimizer, which counts the finished ones.
        dataset: from an input context and the number of the run's global batches to skip to
            elements for one replica each, as `read_pairs` gives them.
        unit: what the rows of a batch are, as "pairs".
        callbacks: run after a step was checked and reported, before it is saved; one may set
            `task.stop_training`.

    Raises:
        FloatingPointError: the loss or the gradient was not finite; the last checkpoint is kept.
        OSError: a checkpoint could not be written; the last one is kept.
        Preempted: the process got SIGTERM; a checkpoint of the step was saved.
    """
    strategy, start = task.distribute_strategy, state.step
    if state.finished or start >= stage.steps > 0:
        return
    contexts: list[tf.distribute.InputContext] = []

    def worker_dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        contexts.append(context)
        return dataset(context, stage.first + start)

    def reread(step: int):
        (context, *_) = contexts
        replicas = context.num_replicas_in_sync // context.num_input_pipelines
        return next(dataset(context, step - 1).batch(replicas).as_numpy_iterator())

    # Errors in the files are raised here, before anything is written.
    batches = strategy.distribute_datasets_from_function(worker_dataset)
    if state.newest() is None:
        state.save()
    if not stage.steps:
        return
    first = stage.first + start
    with Preemption(strategy) as preemption:
        task.fit(
            batches,
            steps_per_epoch=stage.steps - start,
            verbose=0,
            callbacks=[
                StopUnlessFinite(state, first, reread),
                Reports(state, config, first, stage.first + stage.steps, unit),
                *callbacks,
                Checkpoints(state, config.checkpoint_every, stage.steps, start, preemption),
            ],
        )
