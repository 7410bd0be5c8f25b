"""Stages of a run whose encoder grows: "0:20%,2:30%,6:50%"."""

from __future__ import annotations

import itertools
import os
import re
from typing import NamedTuple

_STAGE = re.compile(r"\s*(\d+)\s*:\s*(\d+(?:\.\d+)?)\s*%\s*")


class Stage(NamedTuple):
    """A part of a run, in which the encoder has one depth.

    Attributes:
        name: of its directory; "" if it is the whole run.
        num_layers: of the encoder; None: as many as it has.
        first: number of the run's steps before the stage.
        steps: number of its own steps.
    """

    name: str
    num_layers: int | None
    first: int
    steps: int

    def directory(self, workdir: str | os.PathLike) -> str:
        """Where the stage of a run in `workdir` has its checkpoints and logs."""
        return os.path.join(workdir, self.name) if self.name else os.fspath(workdir)


def stage_name(number: int) -> str:
    """Of the directory of a run's stage; the first one has number 1."""
    return f"stage-{number}"


def parse_stages(text: str, steps: int) -> list[Stage]:
    """The stages of a run, the shallowest first.

    Args:
        text: "LAYERS:SHARE%,...", shares of the steps that add up to 100%; "" for one stage.
        steps: number of steps of the whole run.

    Raises:
        ValueError: `text` is not of that form, or a stage would have no steps.

    Example:
        >>> [stage[1:] for stage in parse_stages("0:20%,2:30%,6:50%", 1000)]
        [(0, 0, 200), (2, 200, 300), (6, 500, 500)]
    """
    if not text:
        return [Stage("", None, 0, steps)]
    parts = [_STAGE.fullmatch(part) for part in text.split(",")]
    if not all(parts):
        raise ValueError(f"`stages` (={text!r}) must be like '0:20%,2:30%,6:50%'.")
    layers = [int(part[1]) for part in parts]
    shares = [float(part[2]) for part in parts]
    if abs(sum(shares) - 100) > 0.01:
        raise ValueError(f"The shares of `stages` (={text!r}) are {sum(shares):g}%, not 100%.")
    if any(a >= b for a, b in itertools.pairwise(layers)):
        raise ValueError(f"The layers of `stages` (={text!r}) must increase.")
    ends = [round(steps * sum(shares[: i + 1]) / 100) for i in range(len(shares))]
    stages = [
        Stage(stage_name(i + 1), depth, first, end - first)
        for i, (depth, first, end) in enumerate(zip(layers, [0, *ends], ends))
    ]
    if steps and not all(stage.steps for stage in stages):
        raise ValueError(f"A stage of `stages` (={text!r}) has none of the {steps} steps.")
    return stages
