"""The files of a corpus, checked before hours of work."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence

from labse_tf.data.regular_files import group_shards
from labse_tf.files.lines import STDIN


def check_corpus(corpus: Sequence[str | os.PathLike]) -> list[str]:
    """Return the files of a corpus without empty shards.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If a file is empty.
    """
    paths = [os.fspath(path) for path in corpus]
    for path in paths:
        if path != STDIN and (not os.path.exists(path) or os.path.isdir(path)):
            raise FileNotFoundError(f"There is no file {path!r} of the corpus.")
    return list(itertools.chain.from_iterable(group_shards(paths)))
