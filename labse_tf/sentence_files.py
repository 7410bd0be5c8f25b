"""Files of sentences: text, a sentence a line, or both sides of translation pairs."""

from __future__ import annotations

import gzip
import itertools
import os
import re
import zlib
from collections.abc import Iterator

from labse_tf.pair_files import read_columns

_PAIRS = re.compile(r"\.(tsv|tfrecord)\b")


def read_lines(path: str | os.PathLike) -> Iterator[str]:
    """The lines of a UTF-8 text, plain or `.gz`, without their ends, read as they are asked for.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: invalid UTF-8 or a damaged file; the message begins with `file:line:`.
    """
    path, number = os.fspath(path), 0
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
        try:
            for line in file:
                number += 1
                yield line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}:{number}: invalid UTF-8: {error}.") from error
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(
                f"{path}:{number + 1}: the gzip is damaged or cut short here: {error}."
            ) from error


def read_sentences(path: str | os.PathLike) -> Iterator[str]:
    """The sentences of a text, one a line; or of translation pairs, both sides.

    Args:
        path: translation pairs if its name says so (`labse_tf.pair_files`), else text.

    Raises:
        FileNotFoundError, ValueError: as `read_lines` and `read_columns`.
    """
    if _PAIRS.search(os.path.basename(path)):
        return itertools.chain.from_iterable(read_columns(path))
    return read_lines(path)


def count_lines(path: str | os.PathLike) -> int:
    """How many lines `read_lines` gives, without a look at what they hold."""
    path, lines, last = os.fspath(path), 0, b"\n"
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
        while block := file.read(2**20):
            lines, last = lines + block.count(b"\n"), block
    return lines + (not last.endswith(b"\n"))
