"""TrainingState: the checkpoints of a run that is going on."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from labse_tf.inference.model import LaBSE
from labse_tf.release.saved_model import read_weights
from labse_tf.training.run_directory import BEST, CHECKPOINTS, compare_with_run, describe, write_run

LOGS = "logs"


class TrainingState:
    """Checkpoints of a run. Every worker makes one; the chief's is the one that stays.

    Args:
        workdir: the run's directory, made by the first `save`.
        model: what is trained; its encoder's weights are restored when there is a checkpoint.
        optimizer: built on the weights that are trained; its slots are restored as well.
        settings: what must be the same when the run is started again.
        keep: how many checkpoints stay.
        strategy: under several workers every one must call `save`, and one writes to `workdir`.
        parts: what else is trained, by name, as a head.

    Attributes:
        best: float32 scalar variable, the best figure on held-out pairs so far; -1 for none.
        since: int32 scalar variable, how often it was measured since.

    Raises:
        ValueError: `workdir` holds a run of other settings; the message has the differences.
    """

    def __init__(
        self,
        workdir: str | os.PathLike,
        model: LaBSE,
        optimizer: tf_keras.optimizers.Optimizer,
        settings: dict[str, Any],
        keep: int,
        strategy: tf.distribute.Strategy,
        parts: Mapping[str, Any] | None = None,
    ):
        self.workdir = os.fspath(workdir)
        self.is_chief = _is_chief(strategy)
        self._optimizer = optimizer
        self._run = describe(model, settings)
        self._vocab_file = model.preprocessor.vocab_file
        compare_with_run(self.workdir, self._run)
        directory = os.path.join(self.workdir, CHECKPOINTS)
        # Saving is collective: a worker that is not the chief writes what nobody reads.
        self._scratch = (
            None if self.is_chief else tempfile.TemporaryDirectory(prefix="labse_tf-worker-")
        )
        self.best, self.since = tf.Variable(-1.0), tf.Variable(0)
        self._finished = tf.Variable(False)
        saved = {
            "encoder": model.encoder,
            "optimizer": optimizer,
            "progress": tf.train.Checkpoint(
                best=self.best, since=self.since, finished=self._finished
            ),
            **(parts or {}),
        }
        if averages := getattr(optimizer, "averages", None):
            saved["averages"] = tf.train.Checkpoint(weights=averages)
        newest = tf.train.latest_checkpoint(directory)
        if newest:
            read_weights(newest, **saved)
        self._manager = tf.train.CheckpointManager(
            tf.train.Checkpoint(**saved),
            self._scratch.name if self._scratch else directory,
            max_to_keep=keep,
        )
        self._best = tf.train.Checkpoint(encoder=model.encoder)
        self._writer: tf.summary.SummaryWriter | None = None

    @property
    def step(self) -> int:
        """Finished steps, each of a global batch: also the position in the data."""
        return int(self._optimizer.iterations.numpy())

    @property
    def finished(self) -> bool:
        """Whether the last step was taken, or the run ended early."""
        return bool(self._finished.numpy())

    def finish(self) -> None:
        """To be called before the last `save`: what the optimizer has put off is done."""
        self._finished.assign(True)
        settle = getattr(self._optimizer, "settle", None)
        if settle:
            settle()

    def save(self) -> str:
        """Writes a checkpoint; it counts only once it is whole. The first makes the directory.

        Raises:
            OSError: it could not be written, as on a full disk; those before it stay.
        """
        if self._scratch is None:
            write_run(self.workdir, self._run, self._vocab_file)
        try:
            return self._manager.save(checkpoint_number=self.step)
        except (tf.errors.OpError, OSError) as error:
            self._remove_unfinished()
            raise OSError(
                f"The checkpoint of step {self.step} could not be written: {error}. The last good "
                f"one is {self.newest()}. Make room, and start again in the same way to go on."
            ) from error

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Writes figures of a step of the whole run to WORKDIR/logs, for TensorBoard."""
        if not self.is_chief:
            return
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(os.path.join(self.workdir, LOGS))
        with self._writer.as_default(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._writer.flush()

    def newest(self) -> str | None:
        """The path of the last good checkpoint."""
        return self._manager.latest_checkpoint

    def save_best(self) -> None:
        """Keeps the encoder as it is now in WORKDIR/best, in place of the one there."""
        folder = self._scratch.name if self._scratch else self.workdir
        self._best.write(os.path.join(folder, BEST))

    def read_best(self) -> bool:
        """Gives the encoder the weights in WORKDIR/best; False if there are none."""
        path = os.path.join(self.workdir, BEST)
        if not os.path.exists(f"{path}.index"):
            return False
        read_weights(path, encoder=self._best.encoder)
        return True

    def _remove_unfinished(self) -> None:
        good = {os.path.basename(path) for path in self._manager.checkpoints}
        for entry in os.scandir(self._manager.directory):
            prefix = re.match(r"ckpt-\d+", entry.name)
            if prefix and prefix[0] not in good:
                shutil.rmtree(entry) if entry.is_dir() else os.remove(entry)


def _is_chief(strategy: tf.distribute.Strategy) -> bool:
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    if resolver.task_type == "chief":
        return True
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "worker" and resolver.task_id == 0 and not has_chief
