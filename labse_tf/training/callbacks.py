"""Callbacks of every training: a step is checked, reported, saved."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import tensorflow as tf
import tf_keras

from labse_tf.files.atomic import atomic_file
from labse_tf.training.checkpoints import TrainingState
from labse_tf.training.config import TrainingConfig
from labse_tf.training.data_files import DataFiles
from labse_tf.training.preemption import Preempted, Preemption


def check_callbacks(callbacks: Iterable[tf_keras.callbacks.Callback]) -> None:
    """Raises TypeError for what is no callback of tf_keras, as those of Keras 3."""
    for callback in callbacks:
        if not isinstance(callback, tf_keras.callbacks.Callback):
            raise TypeError(
                f"`callbacks` has a {type(callback).__module__}.{type(callback).__qualname__}, "
                "which is no tf_keras.callbacks.Callback. (tf.keras is Keras 3: take the callback "
                "of that name from tf_keras.)"
            )


class StopUnlessFinite(tf_keras.callbacks.Callback):
    """Ends a run whose loss or gradient is NaN or infinite; writes the step's token ids to a file.

    The first of the callbacks, so that nothing is saved after such a step. Of several steps that
    are executed together it cannot say which one it was, and writes nothing.

    Args:
        state: of the run.
        first: number of the run's steps before this call of `fit`.
        reread: from a step to this worker's part of its global batch, a tuple of dicts of arrays,
            read once more.
        worker: this one's number, if there are several: each writes a file.

    Raises:
        FloatingPointError: after the step.
    """

    def __init__(
        self,
        state: TrainingState,
        first: int,
        reread: Callable[[int], tuple],
        worker: int | None = None,
    ):
        super().__init__()
        self._state, self._first, self._reread = state, first, reread
        self._suffix = "" if worker is None else f"-worker-{worker}"
        self._begun = first

    def on_train_batch_end(self, batch: int, logs=None):
        step = self._first + batch + 1
        several = step - self._begun > 1
        which = f"one of steps {self._begun + 1} to {step}" if several else f"step {step}"
        self._begun = step
        for name in ("loss", "gradient_norm"):
            if not math.isfinite(logs.get(name, 0)):
                what = name.replace("_", " ").replace("gradient norm", "norm of the gradient")
                if several:
                    ids = ". Started again with `steps_per_execution` 1, the run finds the step"
                else:
                    ids = f"; the token ids of the step {self._write(step)}"
                raise FloatingPointError(
                    f"The {what} of {which} is {logs[name]}. The last good checkpoint is "
                    f"{self._state.newest()}{ids}. Lower the learning rate or look at the data of "
                    "that step, and start again in another directory."
                )

    def _write(self, step: int) -> str:
        """Writes the file; returns where the token ids are, or why they are not."""
        path = os.path.join(self._state.workdir, f"not-finite-step-{step}{self._suffix}.npz")
        try:
            arrays = {
                f"{i}/{name}": ids
                for i, side in enumerate(self._reread(step))
                for name, ids in side.items()
            }
            os.makedirs(self._state.workdir, exist_ok=True)
            with atomic_file(path, "wb") as file:
                np.savez_compressed(file, **arrays)
        except Exception as error:
            # Whatever it is, the run ends because of the step.
            return f"could not be written: {type(error).__name__}: {error}"
        return f"are in {path!r}"


class RaisingCallbacks(tf_keras.callbacks.CallbackList):
    """What callbacks raise leaves `fit`.

    It takes StopIteration and OutOfRangeError, whoever raises them, for the end of the data, and
    returns as if all were well. A callback raises them by mistake, or for a write that failed:
    TensorFlow calls a file that has grown too large (EFBIG) out of range.

    Attributes:
        steps: number of those that ended. (The optimizer's count is that of steps that began.)

    Raises:
        RuntimeError: in their place, with the step.
    """

    steps = 0

    def on_train_batch_begin(self, batch: int, logs=None):
        self._call(super().on_train_batch_begin, batch, logs)

    def on_train_batch_end(self, batch: int, logs=None):
        self._call(super().on_train_batch_end, batch, logs)
        self.steps = batch + 1

    def _call(self, hook: Callable, batch: int, logs) -> None:
        try:
            hook(batch, logs)
        except (StopIteration, tf.errors.OutOfRangeError) as error:
            # With its text, since Keras drops the cause together with its own frames.
            raise RuntimeError(
                f"A callback failed in step {batch + 1} of this start: "
                f"{type(error).__name__}: {error}"
            ) from error


class Checkpoints(tf_keras.callbacks.Callback):
    """Saves every `every` steps, after the last one, and on SIGTERM; the last of the callbacks.

    Args:
        state: of the stage.
        files: that were read, which are compared with those of the start before each save.
        every: steps between checkpoints.
        last: number of the stage's steps.
        start: number of those that were finished before this call of `fit`.
        preemption: says whether SIGTERM was received.

    Raises:
        Preempted: after the checkpoint that SIGTERM asked for, be it that of the last step.
        ValueError: instead of a save, if a file has another content.
    """

    def __init__(
        self,
        state: TrainingState,
        files: DataFiles,
        every: int,
        last: int,
        start: int,
        preemption: Preemption,
    ):
        super().__init__()
        self._state, self._files, self._every, self._last = state, files, every, last
        self._start, self._preemption = start, preemption

    def on_train_batch_end(self, batch: int, logs=None):
        step = self._start + batch + 1
        finished = step == self._last or self.model.stop_training
        asked = self._preemption.asked()
        if finished or asked or step % self._every == 0:
            self._files.check()
            if finished and not self._state.pending.numpy():
                self._state.finish()
            self._state.save()
        if asked:
            raise Preempted(
                f"SIGTERM: the checkpoint of step {step} is saved in {self._state.workdir!r}. "
                "Start again in the same way to go on."
            )


class Reports(tf_keras.callbacks.Callback):
    """Progress for stdout and TensorBoard.

    The figures are means since the last report. The rows per second leave out what happens between
    steps, and the first execution, which traces the graph: a report of that alone has none.

    Args:
        state: of the stage; writes the logs.
        config: says how often to report, and how many rows a step has.
        first: number of the run's steps before this call of `fit`.
        last: number of the run's steps at the end of the stage.
        unit: what the rows of a batch are, as "pairs".
        figures: of the data, for TensorBoard alone.
    """

    def __init__(
        self,
        state: TrainingState,
        config: TrainingConfig,
        first: int,
        last: int,
        unit: str,
        figures: Mapping[str, float],
    ):
        super().__init__()
        self._state, self._config, self._first, self._last = state, config, first, last
        self._rate, self._figures = f"{unit}/s", figures
        self._begun = self._seconds = 0.0
        self._done = self._steps = 0

    def on_train_begin(self, logs=None):
        self._state.output.begin(self._first, self._config.steps)

    def on_train_batch_begin(self, batch: int, logs=None):
        self._begun = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs=None):
        step = self._first + batch + 1
        if self._done:
            self._seconds += time.perf_counter() - self._begun
            self._steps += batch + 1 - self._done
        self._done = batch + 1
        report = step % self._config.report_every == 0 or step == self._last
        values = dict(logs)
        if self._steps:
            values[self._rate] = self._steps * self._config.batch_size / self._seconds
        self._state.output.step(step, values, report)
        if report:
            rate = tf.convert_to_tensor(self.model.optimizer.learning_rate)
            self._state.log(step, {**values, "learning_rate": float(rate), **self._figures})
            self.model.reset_metrics()
            self._seconds, self._steps = 0.0, 0
