"""train: takes the steps of one stage, for translation ranking and pre-training alike."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf
import tf_keras

from labse_tf.training.callbacks import Checkpoints, RaisingCallbacks, Reports, StopUnlessFinite
from labse_tf.training.checkpoints import TrainingState
from labse_tf.training.config import TrainingConfig
from labse_tf.training.data_files import DataFiles
from labse_tf.training.held_out import HeldOut
from labse_tf.training.preemption import Preemption
from labse_tf.training.stages import Stage

Dataset = Callable[[tf.distribute.InputContext, int], tf.data.Dataset]


def compile_task(
    task: tf_keras.Model, optimizer: tf_keras.optimizers.Optimizer, config: TrainingConfig
) -> None:
    """Compiles what `train` takes, in the scope of its strategy.

    Raises:
        ValueError: `config.jit_compile` is set, and there are several replicas that are no TPUs:
            XLA does not compile what sums over them.
    """
    strategy, jit = tf.distribute.get_strategy(), config.jit_compile
    if isinstance(strategy, tf.distribute.TPUStrategy):
        jit = False  # its steps are compiled anyway
    if jit and strategy.num_replicas_in_sync > 1:
        raise ValueError(
            f"`jit_compile` (={jit}) is for one GPU, but the model has "
            f"{strategy.num_replicas_in_sync} replicas. Leave it out."
        )
    task.compile(optimizer, steps_per_execution=config.steps_per_execution, jit_compile=jit)


def train(
    task: tf_keras.Model,
    config: TrainingConfig,
    stage: Stage,
    state: TrainingState,
    dataset: Dataset,
    *,
    unit: str,
    preemption: Preemption,
    files: DataFiles,
    figures: Mapping[str, float] = types.MappingProxyType({}),
    callbacks: Sequence[tf_keras.callbacks.Callback] = (),
) -> None:
    """Takes the steps of a stage that are not finished, with checks, reports and checkpoints.

    Args:
        task: compiled, by `compile_task`. Its metrics are those of the global batch; "loss" and
            "gradient_norm" must stay finite.
        config: how often to report and to save.
        stage: which steps of the run to take.
        state: of the stage; holds the optimizer, which counts the finished ones.
        dataset: from an input context and the number of the run's global batches to skip to
            elements for one replica each, as `read_pairs` gives them.
        unit: what the rows of a batch are, as "pairs".
        preemption: of the whole run, entered.
        files: that `dataset` reads.
        figures: of the data, which `dataset` may set: go to TensorBoard with every report.
        callbacks: run after a step was checked and reported, before it is saved; one may set
            `task.stop_training`. With `steps_per_execution` they see the last step of each.

    Raises:
        FloatingPointError: the loss or the gradient was not finite; the last checkpoint is kept.
        OSError: something of the run could not be written; the last checkpoint is kept.
        Preempted: the process got SIGTERM; a checkpoint of the step was saved.
        ValueError: the data ended before the last step, or a file of it has another content now;
            or the run goes on in the middle of an execution.
    """
    strategy, start = task.distribute_strategy, state.step
    state.check_workers()
    if state.pending.numpy():
        _measure_pending(task, stage, state, preemption, callbacks)
    if state.finished or start >= stage.steps > 0:
        return
    if start % config.steps_per_execution:
        raise ValueError(
            f"The run goes on after step {start}, which is no multiple of `steps_per_execution` "
            f"(={config.steps_per_execution}), so that it would meet none of its intervals. Start "
            "it with 1, or with a divisor of both."
        )
    contexts: list[tf.distribute.InputContext] = []

    def worker_dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        contexts.append(context)
        return dataset(context, stage.first + start)

    def reread(step: int):
        replicas = context.num_replicas_in_sync // context.num_input_pipelines
        # Each replica pads its rows to a width of its own.
        return next(dataset(context, step - 1).padded_batch(replicas).as_numpy_iterator())

    # Errors in the files are raised here, before anything is written.
    batches = strategy.distribute_datasets_from_function(worker_dataset)
    (context, *_) = contexts
    worker = context.input_pipeline_id if context.num_input_pipelines > 1 else None
    if state.restored is None:
        state.save()
    if not stage.steps:
        return
    preemption.check(f"the checkpoint of step {start} is saved in {state.workdir!r}")
    first = stage.first + start
    steps = stage.steps - start
    every_step = RaisingCallbacks(
        [
            StopUnlessFinite(state, first, reread, worker),
            Reports(state, config, first, stage.first + stage.steps, unit, figures),
            *callbacks,
            Checkpoints(state, files, config.checkpoint_every, stage.steps, start, preemption),
        ],
        add_history=True,
        model=task,
        verbose=0,
        epochs=1,
        steps=steps,
    )
    try:
        with files.explaining(), preemption.steps():
            task.fit(batches, steps_per_epoch=steps, verbose=0, callbacks=every_step)
    finally:
        state.output.end()
    if not state.finished:
        raise ValueError(
            f"The data ended after step {start + every_step.steps} of {stage.steps}. The last good "
            f"checkpoint is {state.newest()}. See to the files, and start again in the same way to "
            "go on."
        )


def _measure_pending(
    task: tf_keras.Model,
    stage: Stage,
    state: TrainingState,
    preemption: Preemption,
    callbacks: Sequence[tf_keras.callbacks.Callback],
) -> None:
    """Take the measurement that SIGTERM put off, and finish the stage if it was the last one."""
    task.stop_training = False
    state.pending.assign(False)
    with preemption.steps():
        for callback in callbacks:
            if isinstance(callback, HeldOut):
                callback.set_model(task)
                callback.evaluate()
    preemption.check(f"the checkpoint of step {state.step} is saved in {state.workdir!r}")
    if task.stop_training or state.step == stage.steps:
        state.finish()
        state.save()
