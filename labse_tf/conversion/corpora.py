"""The files of a corpus, looked at before hours of work."""

from __future__ import annotations

import os
from collections.abc import Sequence

from labse_tf.files.lines import STDIN


def check_corpus(corpus: Sequence[str | os.PathLike]) -> None:
    """Raises a FileNotFoundError if a file of a corpus is not there."""
    for path in map(os.fspath, corpus):
        if path != STDIN and (not os.path.exists(path) or os.path.isdir(path)):
            raise FileNotFoundError(f"There is no file {path!r} of the corpus.")
