"""TrainingState: the checkpoints and logs of a run in progress."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf

from labse_tf.files.atomic import atomic_directory
from labse_tf.inference.model import LaBSE
from labse_tf.optimizers.adamw import AdamW
from labse_tf.release.saved_model import read_weights
from labse_tf.training.output import Output
from labse_tf.training.run_directory import BEST, CHECKPOINTS, compare_with_run, describe, write_run

LOGS = "logs"


class TrainingState:
    """Checkpoints and logs of a run, which is restored from its newest checkpoint, if any.

    Made inside `strategy.scope()`, if any. Saving is collective: under several workers each makes
    a TrainingState and calls `save`, and the chief's checkpoints are kept.

    Args:
        workdir: the run's directory, made by the first `save`.
        model: its encoder is trained.
        optimizer: built on the weights that are trained.
        settings: what must be the same when the run is started again.
        keep: number of checkpoints to keep.
        parts: what else is trained, by name, as a head.
        output: of the run; None: one as `Output()`.

    Attributes:
        output: says what is to be said of the run.
        best: float32 scalar variable, the best figure on held-out pairs so far; -1: none.
        since: int32 scalar variable, the number of measurements since.

    Raises:
        ValueError: `workdir` holds a run of other settings; the message has the differences.
    """

    def __init__(
        self,
        workdir: str | os.PathLike,
        model: LaBSE,
        optimizer: AdamW,
        settings: dict[str, Any],
        keep: int,
        parts: Mapping[str, Any] | None = None,
        output: Output | None = None,
    ):
        self.workdir, self.output = os.fspath(workdir), output or Output()
        extended = tf.distribute.get_strategy().extended
        self._optimizer = optimizer
        self._run = describe(model, settings)
        self._vocabulary = model.preprocessor.vocabulary
        compare_with_run(self.workdir, self._run)
        directory = os.path.join(self.workdir, CHECKPOINTS)
        # Saving is collective: workers that are not the chief write checkpoints that nobody reads.
        self._scratch = None
        if not extended.should_checkpoint:
            self._scratch = tempfile.TemporaryDirectory(prefix="labse_tf-worker-")
        self._writes_logs = extended.should_save_summary
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
        if optimizer.averages:
            saved["averages"] = tf.train.Checkpoint(weights=optimizer.averages)
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
        """Number of finished steps, each of a global batch: also the position in the data."""
        return int(self._optimizer.iterations.numpy())

    @property
    def finished(self) -> bool:
        """Whether the last step was taken, or the run ended early."""
        return bool(self._finished.numpy())

    def finish(self) -> None:
        """To be called before the last `save`."""
        self._finished.assign(True)

    def save(self) -> str:
        """Writes a checkpoint, of settled weights; the first one makes the run's directory.

        Raises:
            OSError: it could not be written, as on a full disk; the earlier ones are kept.
        """
        self._optimizer.settle()
        with self._writing("checkpoint"):
            if self._scratch is None:
                write_run(self.workdir, self._run, self._vocabulary)
            try:
                return self._manager.save(checkpoint_number=self.step)
            except (tf.errors.OpError, OSError):
                self._remove_unfinished()
                raise

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Writes figures of a step of the whole run to WORKDIR/logs, for TensorBoard.

        Raises:
            OSError: as of `save`.
        """
        if not self._writes_logs:
            return
        with self._writing("log"):
            if self._writer is None:
                self._writer = tf.summary.create_file_writer(os.path.join(self.workdir, LOGS))
            with self._writer.as_default(step):
                for name, value in values.items():
                    tf.summary.scalar(name, value)
            self._writer.flush()

    def newest(self) -> str | None:
        """The path of the last good checkpoint."""
        return self._manager.latest_checkpoint

    def result(self) -> contextlib.AbstractContextManager[None]:
        """A block in which the encoder has the weights that the run would end with now."""
        return self._optimizer.averaged()

    def save_best(self) -> None:
        """Writes the encoder as it is now to WORKDIR/best, in place of the one there.

        Raises:
            OSError: as of `save`; the one there is kept.
        """
        folder = self._scratch.name if self._scratch else self.workdir
        directory, name = os.path.split(BEST)
        best = atomic_directory(os.path.join(folder, directory))
        with self._writing("best encoder"), best as unfinished:
            self._best.write(os.path.join(unfinished, name))

    def read_best(self) -> bool:
        """Restores the encoder from WORKDIR/best; returns False if there is none."""
        path = os.path.join(self.workdir, BEST)
        if not os.path.exists(f"{path}.index"):
            return False
        read_weights(path, encoder=self._best.encoder)
        return True

    @contextlib.contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        """Turns what a write raises into one OSError that says what stays.

        It has to be one: to `fit`, TensorFlow's error for a file that has grown too large says that
        the data ended.
        """
        try:
            yield
        except (tf.errors.OpError, OSError) as error:
            raise OSError(
                f"The {what} of step {self.step} could not be written: {error}. The last good "
                f"checkpoint is {self.newest() or 'none yet'}. Make room, and start again in the "
                "same way to go on."
            ) from error

    def _remove_unfinished(self) -> None:
        good = {os.path.basename(path) for path in self._manager.checkpoints}
        for entry in os.scandir(self._manager.directory):
            prefix = re.match(r"ckpt-\d+", entry.name)
            if prefix and prefix[0] not in good:
                shutil.rmtree(entry) if entry.is_dir() else os.remove(entry)
