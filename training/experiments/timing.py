"""seconds_per_step: of a training, without what starting it takes."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable


def seconds_per_step(train: Callable[[int, str], object], steps: int) -> float:
    """What a training takes longer than one of a quarter of the steps, for each step more.

    Before them a quarter is trained that does not count: the first one pays for what later ones
    have. A training compiles and reads as much at its start however many steps it has.

    Args:
        train: trains for a number of steps, in a directory that is not there yet.
        steps: of the longer training; at least 4.

    Raises:
        ValueError: too few steps, or the longer training took no longer.
    """
    if steps < 4:
        raise ValueError(f"`timed_steps` (={steps}) must be at least 4.")
    took = []
    for count in (steps // 4, steps // 4, steps):
        with tempfile.TemporaryDirectory() as folder:
            begun = time.monotonic()
            train(count, os.path.join(folder, "run"))
            took.append(time.monotonic() - begun)
    seconds = (took[2] - took[1]) / (steps - steps // 4)
    if seconds <= 0:
        raise ValueError(
            f"{steps} steps took no longer than {steps // 4}: {took[1:]} s. Raise --timed-steps."
        )
    return seconds
