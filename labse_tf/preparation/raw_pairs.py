"""Unfiltered translation pairs: empty sides are returned, not refused."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

from labse_tf.data.pair_files import pair_format, read_columns
from labse_tf.files.lines import read_blocks, without_mark

BLOCK = 8192  # pairs that are filtered, or embedded, together


def read_raw_pairs(path: str | os.PathLike) -> Iterator[list[tuple[str, str]]]:
    """The pairs of a file, in order, in blocks of up to `BLOCK`.

    Unlike `labse_tf.data.pair_files.read_columns`, TSV may have empty sides, empty lines (read as
    two empty sides), and any number of columns after the second, which are dropped. A byte order
    mark at the start is dropped, too.

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
    blocks = read_blocks(path, compressed=bool(compression), carriage_returns=False)
    lines = itertools.chain.from_iterable(without_mark(blocks))
    number = 0  # of the last line read
    while block := list(itertools.islice(lines, BLOCK)):
        pairs = []
        for line in block:
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
