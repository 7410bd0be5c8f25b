"""How far a training run has come."""

from __future__ import annotations

import os

import tensorflow as tf

from labse_tf.training.run_directory import find_checkpoint
from labse_tf.training.stages import parse_stages

_FINISHED = "progress/finished/.ATTRIBUTES/VARIABLE_VALUE"
_PENDING = "measurement/pending/.ATTRIBUTES/VARIABLE_VALUE"


def unfinished(workdir: str | os.PathLike) -> str:
    """Where a run that has not ended stands, as "step 300 of 1,000"; "" if it has ended.

    It ends with its last step, or early by `patience`. The directory of a stage is looked at as a
    run of its own.

    Raises:
        FileNotFoundError: there is no run in `workdir`, or no checkpoint.

    Example:
        >>> unfinished("run")
        'step 300 of 1,000'
    """
    directory, run, checkpoint = find_checkpoint(workdir)
    settings = run["settings"]
    stages = parse_stages(settings.get("stages", ""), settings["steps"])
    name = os.path.basename(directory)
    stage = next((stage for stage in stages if stage.name == name), stages[-1])
    step = int(checkpoint.rsplit("-", 1)[1])
    saved = tf.train.load_checkpoint(checkpoint)
    # Earlier versions put off no measurement.
    is_pending = saved.has_tensor(_PENDING) and bool(saved.get_tensor(_PENDING))
    ended = bool(saved.get_tensor(_FINISHED)) or (step >= stage.steps and not is_pending)
    if directory == os.fspath(workdir):
        return "" if ended else f"step {step:,} of {stage.steps:,}"
    if ended and stage is stages[-1]:
        return ""
    return f"step {stage.first + step:,} of {settings['steps']:,}"
