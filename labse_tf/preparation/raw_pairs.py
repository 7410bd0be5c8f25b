"""Translation pairs as they come: empty sides are read, and not refused."""

from __future__ import annotations

import gzip
import itertools
import os
import zlib
from collections.abc import Iterator

from labse_tf.data.pair_files import pair_format, read_columns

BLOCK = 8192  # pairs that are filtered, or embedded, together


def read_raw_pairs(path: str | os.PathLike) -> Iterator[list[tuple[str, str]]]:
    """The pairs of a file, in order, in blocks of up to `BLOCK`.

    Unlike `labse_tf.data.pair_files.read_columns`, TSV may have empty sides, empty lines (read as
    two empty sides), and any number of columns after the second, which are dropped.

    Args:
        path: TSV or TFRecord, plain or gzip, by its name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is empty or damaged, a line has one column only, or it is no UTF-8; of
            TFRecord whatever `read_columns` refuses. The message begins with `file:line:`.
    """
    path = os.fspath(path)
    container, compression = pair_format(path)
    if container == "tfrecord":
        records = read_columns(path)
        while block := list(itertools.islice(records, BLOCK)):
            yield [(row[0], row[1]) for row in block]
        return
    number = 0  # of the last line read
    with (gzip.open if compression else open)(path, "rb") as file:
        while lines := _next_lines(path, file, number):
            pairs = []
            for line in _decoded(path, lines, number):
                number += 1
                source, tab, rest = line.partition("\t")
                if not tab and source.strip():
                    raise ValueError(
                        f"{path}:{number}: expected source TAB target, but there is no TAB: "
                        f"{line[:80]!r}. Correct or remove the line."
                    )
                pairs.append((source, rest.partition("\t")[0]))
            yield pairs
    if not number:
        raise ValueError(f"The file of translation pairs {path!r} is empty: expected some.")


def _next_lines(path: str, file, number: int) -> list[bytes]:
    lines: list[bytes] = []
    try:
        lines.extend(itertools.islice(file, BLOCK))
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path}:{number + len(lines) + 1}: the gzip is damaged or cut short here: {error}. "
            "Fetch or compress the file again."
        ) from error
    return lines


def _decoded(path: str, lines: list[bytes], number: int) -> list[str]:
    block = b"".join(lines)
    try:
        # Carriage returns are dropped wherever they are, as by all who read pairs here.
        return block.decode("utf-8").removesuffix("\n").replace("\r", "").split("\n")
    except UnicodeDecodeError as error:
        number += block.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}:{number}: invalid UTF-8 ({error.reason}: byte {block[error.start]:#04x}). "
            "Convert the file (`iconv -t UTF-8`)."
        ) from error
