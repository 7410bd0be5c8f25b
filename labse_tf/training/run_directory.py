"""What a training run keeps in its working directory, and how it is read back.

WORKDIR/config.json     the run's settings, of which a run started again must share those that
                        decide the weights; and versions
WORKDIR/vocab.txt       a copy of the vocabulary (of SentencePiece: sentencepiece.bpe.model)
WORKDIR/checkpoints/    encoder and optimizer, the newest few; the step is in the name
WORKDIR/best/           the encoder that did best on held-out pairs, if there are any
WORKDIR/logs/           for TensorBoard
WORKDIR/stage-N/        all of this for each stage of a run that has several
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import itertools
import json
import os
import platform
import sys
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from labse_tf.data.pair_rows import PairRows
from labse_tf.encoder.config import EncoderConfig
from labse_tf.encoder.freezing import weights_to_train
from labse_tf.encoder.masked_language_head import MaskedLanguageHead
from labse_tf.encoder.weights import unfilled_encoder
from labse_tf.files.atomic import atomic_file
from labse_tf.files.checksums import checksum
from labse_tf.inference.model import LaBSE
from labse_tf.release.saved_model import read_weights
from labse_tf.tokenization.choices import BEFORE_THE_CHOICE, vocabulary_file_name
from labse_tf.tokenization.preprocessing import Preprocessor
from labse_tf.training.checkpoint_directory import list_checkpoints
from labse_tf.training.comparing import CHECKSUMS, STORED_DTYPE, differences
from labse_tf.training.config import TrainingConfig
from labse_tf.training.stages import stage_name
from labse_tf.version import __version__

RUN_FILE, CHECKPOINTS = "config.json", "checkpoints"
BEST = os.path.join("best", "encoder")
Files = str | os.PathLike | Sequence[str | os.PathLike]
_PACKAGES = ("tensorflow", "tensorflow-text", "tf_keras", "numpy")


def load_run(workdir: str | os.PathLike, step: int | None = None) -> LaBSE:
    """Reads the model of a training run, at its newest checkpoint or at `step`.

    If no step is given, a run with `patience` yields the model that was best on held-out pairs.
    A run with `ema_decay` yields the moving average of the weights, the best one or that of the
    step. A run of several stages is read at its newest stage that has a checkpoint; `step` counts
    within that stage.

    Raises:
        FileNotFoundError: there is no run in `workdir`, or no checkpoint (of that step).
        ValueError: the checkpoint does not fit the run's configuration.
    """
    workdir, run, checkpoint = find_checkpoint(workdir, step)
    settings = run["settings"]
    encoder = unfilled_encoder(EncoderConfig(**run["encoder"]))
    read_weights(checkpoint, encoder=encoder)
    best = os.path.join(workdir, BEST)
    if settings.get("patience") and step is None and os.path.exists(f"{best}.index"):
        read_weights(best, encoder=encoder)
    elif settings.get("ema_decay"):
        frozen = {
            name: settings[name]
            for name in ("freeze_embeddings", "freeze_layers")
            if name in settings
        }
        averaged = {w.name.removesuffix(":0"): w for w in weights_to_train(encoder, **frozen)}
        read_weights(checkpoint, averages=tf.train.Checkpoint(weights=averaged))
    options = {**BEFORE_THE_CHOICE, **run["preprocessor"]}
    vocab_file = os.path.join(workdir, vocabulary_file_name(options["tokenization"]))
    stored_dtype = run.get(STORED_DTYPE, "float32")
    return LaBSE(Preprocessor(vocab_file, **options), encoder, stored_dtype=stored_dtype)


def load_head(workdir: str | os.PathLike, step: int | None = None) -> MaskedLanguageHead:
    """Reads the head of a run of pre-training; the arguments are those of `load_run`.

    Raises:
        FileNotFoundError: as of `load_run`.
        ValueError: the run is one of translation ranking, which has no head.
    """
    workdir, run, checkpoint = find_checkpoint(workdir, step)
    if "mask_rate" not in run["settings"]:
        raise ValueError(
            f"{workdir!r} holds a run of translation ranking, which has no head for masked word "
            "pieces. Only training.pretrain trains one."
        )
    head = MaskedLanguageHead(EncoderConfig(**run["encoder"]))
    read_weights(checkpoint, head=head)
    return head


def check_stages(workdir: str | os.PathLike, several: bool) -> None:
    """Raises ValueError if `workdir` holds a run of one stage, but `several` are asked for, or the
    other way round."""
    kinds = {False: RUN_FILE, True: os.path.join(stage_name(1), RUN_FILE)}
    if os.path.exists(os.path.join(workdir, kinds[not several])):
        raise ValueError(
            f"{os.fspath(workdir)!r} holds a run {'without' if several else 'with'} `stages`. "
            "Start it with the same settings to continue it, or choose another working directory."
        )


def stages_in(workdir: str) -> list[str]:
    """Directories of the stages of a run that have a checkpoint, in order."""
    found = []
    for number in itertools.count(1):
        path = os.path.join(workdir, stage_name(number))
        if not list_checkpoints(os.path.join(path, CHECKPOINTS)):
            return found
        found.append(path)


def find_checkpoint(workdir: str | os.PathLike, step: int | None = None) -> tuple[str, dict, str]:
    """Directory of a run or of its newest stage, what its config.json holds, a checkpoint.

    Raises:
        FileNotFoundError: as of `load_run`.
    """
    workdir = os.fspath(workdir)
    if stages := stages_in(workdir):
        workdir = stages[-1]
    run_file = os.path.join(workdir, RUN_FILE)
    if not os.path.isfile(run_file):
        raise FileNotFoundError(f"{workdir!r} holds no training run: there is no {RUN_FILE}.")
    with open(run_file, encoding="utf-8") as file:
        run = json.load(file)
    directory = os.path.join(workdir, CHECKPOINTS)
    steps = list_checkpoints(directory)
    if not steps or (step is not None and step not in steps):
        raise FileNotFoundError(
            f"{directory!r} has no checkpoint{'' if step is None else f' of step {step}'}; "
            f"it has those of steps {sorted(steps)}."
        )
    return workdir, run, steps[max(steps) if step is None else step]


def listed(files: Files) -> list[str]:
    """The paths of files, of which one may stand without a list."""
    one = isinstance(files, str | os.PathLike)
    return [os.fspath(path) for path in ([files] if one else files)]


def settings_of(config: TrainingConfig, **files: Files | PairRows) -> dict[str, Any]:
    """The settings of a run: its configuration, its files by their absolute paths, and these files'
    checksums, in the order of the paths; of pairs that are no file, their name instead."""
    paths, checksums = {}, {}
    for name, given in files.items():
        if isinstance(given, PairRows):
            paths[name], checksums[name] = [given.name], [given.checksum]
            continue
        paths[name] = list(map(os.path.abspath, listed(given)))
        checksums[name] = [
            # What is no file is said where it is read.
            checksum(path) if os.path.isfile(path) else None
            for path in sorted(paths[name])
        ]
    return dataclasses.asdict(config) | paths | {CHECKSUMS: checksums}


def describe(model: LaBSE, settings: dict[str, Any]) -> dict[str, Any]:
    """What config.json holds: the settings, of which a run that is started again must share those
    that decide the weights, and how the run came about."""
    preprocessor = model.preprocessor
    run = {
        "encoder": dataclasses.asdict(model.encoder.config),
        "preprocessor": preprocessor.options,
        STORED_DTYPE: model.stored_dtype,
        "vocabulary_sha256": hashlib.sha256(preprocessor.vocabulary).hexdigest(),
        "settings": settings,
        "system": {
            "command": sys.argv,
            "labse_tf": __version__,
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in _PACKAGES},
        },
    }
    return json.loads(json.dumps(run))  # tuples become lists, as in the file


def compare_with_run(workdir: str, run: dict[str, Any]) -> None:
    """Raises ValueError, with the differences, if `workdir` holds a run of other settings.

    Those that change no weight may differ, see `labse_tf.training.comparing`.
    """
    run_file = os.path.join(workdir, RUN_FILE)
    if not os.path.exists(run_file):
        return
    with open(run_file, encoding="utf-8") as file:
        before = json.load(file)
    if "preprocessor" in before:
        before["preprocessor"] = {**BEFORE_THE_CHOICE, **before["preprocessor"]}
    if found := differences(before, run):
        raise ValueError(
            f"{workdir!r} holds a run of other settings: {'; '.join(found)}. Start it "
            "with the same settings to continue it, or choose another working directory."
        )


def write_run(workdir: str, run: dict[str, Any], vocabulary: bytes) -> None:
    """Makes a run's directory, with its config.json and vocabulary, unless it is there."""
    run_file = os.path.join(workdir, RUN_FILE)
    if os.path.exists(run_file):
        return
    os.makedirs(workdir, exist_ok=True)
    vocab_file = vocabulary_file_name(run["preprocessor"]["tokenization"])
    with atomic_file(os.path.join(workdir, vocab_file), "wb") as file:
        file.write(vocabulary)
    with atomic_file(run_file) as file:
        json.dump(run, file, indent=2)
