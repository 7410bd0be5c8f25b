"""A directory of checkpoints, `ckpt-STEP`, of which each is whole and on the disk, or not there."""

from __future__ import annotations

import os
import re
import shutil

import tensorflow as tf

from labse_tf.files.atomic import atomic_directory, atomic_file
from labse_tf.files.atomic import remove_leftovers as remove_unfinished

# TensorFlow's readers look into this file, which lists the checkpoints.
_STATE_FILE = "checkpoint"
_INDEX = re.compile(r"ckpt-(\d+)\.index")
_UNREADABLE = "unreadable-"


def list_checkpoints(directory: str) -> dict[int, str]:
    """Return the paths of the checkpoints by their steps, in ascending order.

    The directory is listed, because the state file may be older than the newest checkpoint.
    """
    if not os.path.isdir(directory):
        return {}
    steps = sorted(int(found[1]) for found in map(_INDEX.fullmatch, os.listdir(directory)) if found)
    return {step: _path(directory, step) for step in steps}


def write_checkpoint(directory: str, checkpoint: tf.train.Checkpoint, step: int, keep: int) -> None:
    """Write a checkpoint, then remove all but the newest ones.

    The files are written to a temporary directory, reach the disk (fsync), and are then moved. The
    index is moved last: without an index there is no checkpoint.

    Args:
        directory: The directory, which is created if it does not exist.
        checkpoint: The objects to save.
        step: The number in the checkpoint's name, larger than those of the others.
        keep: Number of checkpoints to retain.

    Raises:
        OSError, tf.errors.OpError: If the checkpoint could not be written, as on a full disk. The
            other checkpoints are unchanged.
    """

    def move(unfinished: str, _: str) -> None:
        for name in sorted(os.listdir(unfinished), key=lambda name: name.endswith(".index")):
            os.replace(os.path.join(unfinished, name), os.path.join(directory, name))

    with atomic_directory(os.path.join(directory, _STATE_FILE), rename=move) as unfinished:
        checkpoint.write(_path(unfinished, step))
    steps = list(list_checkpoints(directory))
    with atomic_file(os.path.join(directory, _STATE_FILE)) as file:
        file.write(f'model_checkpoint_path: "ckpt-{step}"\n')
        file.writelines(f'all_model_checkpoint_paths: "ckpt-{s}"\n' for s in steps[-keep:])
    for old in steps[:-keep]:
        os.remove(f"{_path(directory, old)}.index")
    remove_leftovers(directory)


def remove_leftovers(directory: str) -> None:
    """Remove what a killed process left of a checkpoint that it was writing or removing.

    No other process may be writing to the directory.
    """
    if not os.path.isdir(directory):
        return
    remove_unfinished(os.path.join(directory, _STATE_FILE))
    whole = {os.path.basename(path) for path in list_checkpoints(directory).values()}
    for entry in list(os.scandir(directory)):
        # Earlier versions, and TensorFlow itself, write to a directory `ckpt-STEP_temp`.
        prefix = re.match(r"ckpt-\d+", entry.name)
        if prefix and (entry.name.endswith("_temp") or prefix[0] not in whole):
            shutil.rmtree(entry) if entry.is_dir(follow_symlinks=False) else os.remove(entry)


def set_aside(path: str) -> None:
    """Rename the files of a checkpoint that cannot be read, so that it does not count any more."""
    directory, prefix = os.path.split(path)
    names = [name for name in os.listdir(directory) if name.startswith(f"{prefix}.")]
    for name in sorted(names, key=lambda name: not name.endswith(".index")):
        os.replace(os.path.join(directory, name), os.path.join(directory, _UNREADABLE + name))


def _path(directory: str, step: int) -> str:
    return os.path.join(directory, f"ckpt-{step}")
