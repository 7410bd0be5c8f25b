"""DataFiles: the files that a run reads, whose content may not change while it trains."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from labse_tf.files.checksums import checksum
from labse_tf.training.comparing import CHECKSUMS


class DataFiles:
    """Files as they were when a run was started.

    Training reads them anew in every epoch, and what it reads then was not looked through. A file
    whose size, time or place on the disk is another one is compared by its checksum.

    Args:
        settings: of the run, by `settings_of`: have the files' paths and checksums.
        names: of the settings that are files which training reads, as "pairs".
    """

    def __init__(self, settings: dict[str, Any], *names: str):
        self._known = {
            path: (content, _look(path))
            for name in names
            for path, content in zip(sorted(settings[name]), settings[CHECKSUMS][name], strict=True)
            if content  # what is no file is said where it is read
        }

    def check(self) -> None:
        """Raises ValueError if a file has another content, or is gone."""
        for path, (content, look) in self._known.items():
            try:
                now = _look(path)
                same = now == look or checksum(path) == content
            except OSError as error:
                raise ValueError(f"{path!r} cannot be read any more: {error}. {_REMEDY}") from error
            if not same:
                raise ValueError(
                    f"{path!r} has another content than when the run was started. {_REMEDY}"
                )
            self._known[path] = content, now

    @contextlib.contextmanager
    def explaining(self) -> Iterator[None]:
        """A block in which TensorFlow's error is one of `check` instead, if a file has changed."""
        try:
            yield
        except tf.errors.OpError as error:
            try:
                self.check()
            except ValueError as changed:
                raise changed from error
            raise


_REMEDY = (
    "What the last checkpoint has learnt is still of the files of the start. Put them back, and "
    "start again in the same way to go on; or begin in another directory."
)


def _look(path: str) -> tuple[int, ...]:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns, status.st_dev, status.st_ino
