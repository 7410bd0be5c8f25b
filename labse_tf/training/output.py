"""What a run says on stdout while it trains."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from labse_tf.progress_bars import ProgressBar, is_watched, progress_bar

SILENT, BAR, LINES = 0, 1, 2


def say(line: str) -> None:
    """Writes a line to stdout and flushes it; bars are drawn below it."""
    ProgressBar.write(line, file=sys.stdout)
    sys.stdout.flush()


class Output:
    """A run's lines, and the bar of its steps.

    Args:
        verbose: 0 for nothing; 1 for a bar on a terminal or in a notebook, and elsewhere a line a
            report; 2 for the lines.

    Raises:
        ValueError: `verbose` is none of these.
    """

    def __init__(self, verbose: int = BAR):
        if verbose not in (SILENT, BAR, LINES):
            raise ValueError(f"`verbose` (={verbose!r}) must be 0, 1 or 2.")
        self._verbose, self._bar, self._steps = verbose, None, 0

    def say(self, line: str) -> None:
        """Writes a line, unless the run is silent."""
        if self._verbose != SILENT:
            say(line)

    def begin(self, first: int, steps: int) -> None:
        """To be called before a run of `steps` steps goes on after the first ones."""
        self._steps = steps
        if self._verbose == BAR and is_watched(sys.stdout):
            self._bar = progress_bar(
                total=steps, initial=first, unit=" steps", file=sys.stdout, show=True
            )

    def step(self, step: int, figures: Mapping[str, float], report: bool) -> None:
        """Shows the figures of a step: in the bar, or in a line if it is one to `report`."""
        if self._bar is None and not (report and self._verbose):
            return
        said = [f"{name}: {value:,.4g}" for name, value in figures.items()]
        if self._bar is None:
            say(" - ".join([f"{step}/{self._steps}", *said]))
            return
        self._bar.set_postfix_str(" - ".join(said), refresh=False)
        self._bar.update(step - self._bar.n)

    def end(self) -> None:
        """To be called when the steps are done, or have failed."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
