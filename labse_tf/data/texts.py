"""Text from files of sentences and of translation pairs alike."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

from labse_tf.data.pair_files import is_pairs, read_columns
from labse_tf.files.lines import read_lines


def read_sentences(path: str | os.PathLike) -> Iterator[str]:
    """The sentences of a text, one a line; or of translation pairs, both sides.

    Args:
        path: translation pairs if its name says so (`labse_tf.data.pair_files`), else text.

    Raises:
        FileNotFoundError, ValueError: as `read_lines` and `read_columns`.
    """
    if is_pairs(path):
        return itertools.chain.from_iterable(read_columns(path))
    return read_lines(path)
