"""What a training run keeps in its working directory, and how it is read back.

WORKDIR/run.json        the run's settings: a run started again must have the same
WORKDIR/vocab.txt       a copy of the vocabulary
WORKDIR/checkpoints/    encoder and optimizer, the newest few; the step is in the name
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from typing import Any

import tensorflow as tf
import tf_keras

from labse_tf.config import EncoderConfig
from labse_tf.model import LaBSE
from labse_tf.preprocessing import Preprocessor
from labse_tf.saved_model import read_weights
from labse_tf.weights import unfilled_encoder

RUN_FILE, VOCABULARY_FILE, CHECKPOINTS = "run.json", "vocab.txt", "checkpoints"


class TrainingState:
    """Checkpoints of a run. Every worker makes one; the chief's is the one that stays.

    Args:
        workdir: the run's directory, made by the first `save`.
        model: what is trained; its encoder's weights are restored when there is a checkpoint.
        optimizer: built on the encoder's trainable weights; its slots are restored as well.
        settings: what must be the same when the run is started again.
        keep: how many checkpoints stay.
        strategy: under several workers every one must call `save`, and one writes to `workdir`.

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
    ):
        self.workdir = os.fspath(workdir)
        self._optimizer = optimizer
        self._run = _description(model, settings)
        self._vocab_file = model.preprocessor.vocab_file
        _compare_with_run(self.workdir, self._run)
        directory = os.path.join(self.workdir, CHECKPOINTS)
        # Saving is collective: a worker that is not the chief writes what nobody reads.
        self._scratch = (
            None if _is_chief(strategy) else tempfile.TemporaryDirectory(prefix="labse_tf-worker-")
        )
        checkpoint = tf.train.Checkpoint(encoder=model.encoder, optimizer=optimizer)
        newest = tf.train.latest_checkpoint(directory)
        if newest:
            read_weights(newest, encoder=model.encoder, optimizer=optimizer)
        self._manager = tf.train.CheckpointManager(
            checkpoint,
            self._scratch.name if self._scratch else directory,
            max_to_keep=keep,
        )

    @property
    def step(self) -> int:
        """Finished steps, each of a global batch: also the position in the data."""
        return int(self._optimizer.iterations.numpy())

    def save(self) -> str:
        """Writes a checkpoint; it counts only once it is whole. The first makes the directory."""
        if self._scratch is None:
            _write_run(self.workdir, self._run, self._vocab_file)
        return self._manager.save(checkpoint_number=self.step)

    def newest(self) -> str | None:
        """The path of the last good checkpoint."""
        return self._manager.latest_checkpoint


def load_run(workdir: str | os.PathLike, step: int | None = None) -> LaBSE:
    """Reads the model of a training run, at its newest checkpoint or at `step`.

    Raises:
        FileNotFoundError: there is no run in `workdir`, or no checkpoint (of that step).
        ValueError: the checkpoint does not fit the run's configuration.
    """
    workdir = os.fspath(workdir)
    run_file = os.path.join(workdir, RUN_FILE)
    if not os.path.isfile(run_file):
        raise FileNotFoundError(f"{workdir!r} holds no training run: there is no {RUN_FILE}.")
    with open(run_file, encoding="utf-8") as file:
        run = json.load(file)
    directory = os.path.join(workdir, CHECKPOINTS)
    state = tf.train.get_checkpoint_state(directory)
    paths = list(state.all_model_checkpoint_paths) if state else []
    steps = {int(path.rsplit("-", 1)[1]): path for path in paths}
    if not steps or (step is not None and step not in steps):
        raise FileNotFoundError(
            f"{directory!r} has no checkpoint{'' if step is None else f' of step {step}'}; "
            f"it has those of steps {sorted(steps)}."
        )
    encoder = unfilled_encoder(EncoderConfig(**run["encoder"]))
    read_weights(steps[max(steps) if step is None else step], encoder=encoder)
    vocab_file = os.path.join(workdir, VOCABULARY_FILE)
    return LaBSE(Preprocessor(vocab_file, **run["preprocessor"]), encoder)


def _description(model: LaBSE, settings: dict[str, Any]) -> dict[str, Any]:
    """What run.json holds: all that must be the same when the run is started again."""
    preprocessor = model.preprocessor
    with open(preprocessor.vocab_file, "rb") as file:
        checksum = hashlib.sha256(file.read()).hexdigest()
    run = {
        "encoder": dataclasses.asdict(model.encoder.config),
        "preprocessor": {
            "seq_length": preprocessor.seq_length,
            "lower_case": preprocessor.lower_case,
        },
        "vocabulary_sha256": checksum,
        "settings": settings,
    }
    return json.loads(json.dumps(run))  # tuples become lists, as in the file


def _compare_with_run(workdir: str, run: dict[str, Any]) -> None:
    run_file = os.path.join(workdir, RUN_FILE)
    if not os.path.exists(run_file):
        return
    with open(run_file, encoding="utf-8") as file:
        before = json.load(file)
    if differences := _differences(before, run):
        raise ValueError(
            f"{workdir!r} holds a run of other settings: {'; '.join(differences)}. Start it "
            "with the same settings to continue it, or choose another working directory."
        )


def _write_run(workdir: str, run: dict[str, Any], vocab_file: str) -> None:
    run_file = os.path.join(workdir, RUN_FILE)
    if os.path.exists(run_file):
        return
    os.makedirs(workdir, exist_ok=True)
    shutil.copyfile(vocab_file, os.path.join(workdir, VOCABULARY_FILE))
    with open(run_file + ".unfinished", "w", encoding="utf-8") as file:
        json.dump(run, file, indent=2)
    os.replace(run_file + ".unfinished", run_file)


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            line
            for key in sorted(before.keys() | now.keys())
            for line in _differences(before.get(key), now.get(key), f"{name}.{key}".lstrip("."))
        ]
    return [] if before == now else [f"{name} was {before!r}, now {now!r}"]


def _is_chief(strategy: tf.distribute.Strategy) -> bool:
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    if resolver.task_type == "chief":
        return True
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "worker" and resolver.task_id == 0 and not has_chief
