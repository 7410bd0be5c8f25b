"""TrainingState: the checkpoints and logs of a run in progress."""

from __future__ import annotations

import contextlib
import logging
import os
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from labse_tf.files.atomic import atomic_directory, remove_leftovers
from labse_tf.inference.model import LaBSE
from labse_tf.optimizers.adamw import AdamW
from labse_tf.release.saved_model import read_weights
from labse_tf.training import checkpoint_directory
from labse_tf.training.output import Output
from labse_tf.training.run_directory import BEST, CHECKPOINTS, compare_with_run, describe, write_run
from labse_tf.training.workers import Workers

LOGS = "logs"
_PENDING = "measurement/pending/.ATTRIBUTES/VARIABLE_VALUE"
_log = logging.getLogger(__name__)


class TrainingState:
    """Checkpoints and logs of a run, which is restored from its newest readable checkpoint, if any.

    Create it inside `strategy.scope()`, if any. Each of several workers creates one and calls the
    same methods; only the chief writes, and all read what it wrote.

    Args:
        workdir: The run's directory, which the first `save` creates; all workers share it.
        model: Its encoder is trained.
        optimizer: Built on the weights that are trained.
        settings: What must be the same when the run is started again.
        keep: Number of checkpoints to retain.
        parts: What else is trained, by name, as a head.
        output: The run's output; None: one as `Output()`.

    Attributes:
        output: Writes the lines about the run.
        restored: Path of the checkpoint that was restored; None: the run is new.
        best: float32 scalar variable, the best figure on held-out pairs so far; -1: none.
        since: int32 scalar variable, the number of measurements since.
        pending: bool scalar variable, whether the measurement that is due after the last finished
            step was put off by SIGTERM.

    Raises:
        ValueError: If `workdir` holds a run of other settings; the message has the differences. Or
            if none of its checkpoints can be read.
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
        self._workers = Workers(tf.distribute.get_strategy())
        self._optimizer, self._keep = optimizer, keep
        self._trained = [w for x in (model.encoder, *(parts or {}).values()) for w in x.weights]
        self._run = describe(model, settings)
        self._vocabulary = model.preprocessor.vocabulary
        compare_with_run(self.workdir, self._run)
        self._directory = os.path.join(self.workdir, CHECKPOINTS)
        self.best, self.since = tf.Variable(-1.0), tf.Variable(0)
        self.pending, self._finished = tf.Variable(False), tf.Variable(False)
        self._saved = {
            "encoder": model.encoder,
            "optimizer": optimizer,
            "progress": tf.train.Checkpoint(
                best=self.best, since=self.since, finished=self._finished
            ),
            "measurement": tf.train.Checkpoint(pending=self.pending),
            **(parts or {}),
        }
        if optimizer.averages:
            self._saved["averages"] = tf.train.Checkpoint(weights=optimizer.averages)
        if self._workers.is_chief:
            checkpoint_directory.remove_leftovers(self._directory)
            if os.path.isdir(self.workdir):
                remove_leftovers(os.path.join(self.workdir, os.path.dirname(BEST)))
        self._unreadable: list[str] = []
        self.restored = self._restore()
        self._checkpoint = tf.train.Checkpoint(**self._saved)
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
        """Mark the run as finished; call it before the last `save`."""
        self._finished.assign(True)

    def check_workers(self) -> None:
        """Check that all workers share `workdir` and start from equal weights; all must call it.

        Raises:
            OSError: If the chief could not write to `workdir`.
            ValueError: If a worker does not see what the chief wrote, or starts after another step
                or with other weights.
        """
        if self._workers.are_several:
            self._workers.check_shared(self.workdir)
            self._workers.check_equal("after different steps", self.step)
            self._workers.check_equal("with different weights (checksums)", self._checksum())

    def save(self) -> None:
        """Write a checkpoint of settled weights; the first one creates the run's directory.

        Raises:
            OSError: If it could not be written, as on a full disk; the earlier ones are kept.
        """
        self._optimizer.settle()
        with self._writing("checkpoint") as writes:
            if writes:
                write_run(self.workdir, self._run, self._vocabulary)
                while self._unreadable:
                    checkpoint_directory.set_aside(self._unreadable.pop())
                checkpoint_directory.write_checkpoint(
                    self._directory, self._checkpoint, self.step, self._keep
                )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write figures of a step of the whole run to WORKDIR/logs, for TensorBoard.

        Raises:
            OSError: See `save`.
        """
        with self._writing("log") as writes:
            if not writes:
                return
            if self._writer is None:
                self._writer = tf.summary.create_file_writer(os.path.join(self.workdir, LOGS))
            with self._writer.as_default(step):
                for name, value in values.items():
                    tf.summary.scalar(name, value)
            self._writer.flush()

    def newest(self) -> str | None:
        """Return the path of the last good checkpoint, which the chief wrote."""
        paths = checkpoint_directory.list_checkpoints(self._directory).values()
        return next((path for path in reversed(paths) if path not in self._unreadable), None)

    def result(self) -> contextlib.AbstractContextManager[None]:
        """A block in which the encoder has the weights that the run would end with now."""
        return self._optimizer.averaged()

    def save_best(self) -> None:
        """Write the encoder as it is now to WORKDIR/best, in place of the one there.

        Raises:
            OSError: See `save`; the one there is kept.
        """
        directory, name = os.path.split(BEST)
        with self._writing("best encoder") as writes:
            if writes:
                with atomic_directory(os.path.join(self.workdir, directory)) as unfinished:
                    self._best.write(os.path.join(unfinished, name))

    def read_best(self) -> bool:
        """Restore the encoder from WORKDIR/best; return False if there is none."""
        path = os.path.join(self.workdir, BEST)
        if not os.path.exists(f"{path}.index"):
            return False
        read_weights(path, encoder=self._best.encoder)
        return True

    def agreed(self, value: float) -> float:
        """Return the chief's value, which all workers act on; all must call it.

        Other processors may round another way.
        """
        (bits,) = np.array([value], np.float32).view(np.int32)
        return float(self._workers.gather([bits])[:1, 0].view(np.float32)[0])

    @contextlib.contextmanager
    def _writing(self, what: str) -> Iterator[bool]:
        """A block that is told whether to write; an error in it is one OSError on all workers.

        It has to be an OSError: to `fit`, TensorFlow's error for a file that has grown too large
        says that the data ended. The other workers would wait for the chief for ever.
        """
        error = None
        try:
            yield self._workers.is_chief
        except (tf.errors.OpError, OSError) as raised:
            error = raised
        if self._workers.gather([error is not None]).any():
            raise OSError(
                f"The {what} of step {self.step} could not be written: "
                f"{error or 'see the error of worker 0'}. The last good checkpoint is "
                f"{self.newest() or 'none yet'}. Make room, and start again in the same way to go "
                "on."
            ) from error

    def _restore(self) -> str | None:
        """Restore the newest checkpoint that can be read, and return its path."""
        first_error = None
        for path in reversed(checkpoint_directory.list_checkpoints(self._directory).values()):
            try:
                read_weights(path, **self._saved_in(path))
            except ValueError as error:
                first_error = first_error or error
                self._unreadable.append(path)
                continue
            for unreadable in self._unreadable:
                _log.warning(
                    "The checkpoint %r cannot be read, as after a power failure (%s). The run "
                    "continues after the earlier one %r, and the unreadable one is renamed.",
                    unreadable,
                    first_error,
                    path,
                )
            return path
        if first_error:
            raise first_error
        return None

    def _saved_in(self, path: str) -> dict[str, Any]:
        """Return the objects that a checkpoint holds; earlier versions put off no measurement."""
        try:
            has_pending = tf.train.load_checkpoint(path).has_tensor(_PENDING)
        except (ValueError, RuntimeError, tf.errors.OpError) as error:
            raise ValueError(f"Cannot read the checkpoint {path!r}: {error}") from error
        return {k: v for k, v in self._saved.items() if k != "measurement" or has_pending}

    def _checksum(self) -> int:
        """Return the checksum (CRC-32) of everything that is trained or counted, as an int32."""
        checksum = 0
        for variable in [*self._trained, *self._optimizer.variables]:
            checksum = zlib.crc32(variable.numpy().tobytes(), checksum)
        return int(np.uint32(checksum).astype(np.int32))
