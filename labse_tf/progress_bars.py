"""Progress bars, in terminals and in notebooks."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TextIO

from tqdm.auto import tqdm

ProgressBar = tqdm


def progress_bar(
    items: Iterable | None = None, *, show: bool | None = None, **options
) -> ProgressBar:
    """A bar of `tqdm.auto`, on stderr unless `file` is given; in a notebook below its cell.

    Args:
        items: what is iterated over; None for a bar that is updated.
        show: whether to draw it; None: if somebody can watch it, see `is_watched`.
        **options: of tqdm, as `total`, `desc` and `unit`.
    """
    if show is None:
        show = is_watched(options.get("file") or sys.stderr)
    return tqdm(items, disable=not show, **options)


def is_watched(stream: TextIO) -> bool:
    """Whether what is drawn on a stream is seen while it changes: on a terminal, in a notebook.

    A notebook needs ipywidgets for it, as `tqdm.auto` does.
    """
    in_notebook = any(part.__module__ == "tqdm.notebook" for part in tqdm.__mro__)
    return in_notebook or stream.isatty()
