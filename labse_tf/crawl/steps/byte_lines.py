"""Lines of bytes, of which neither a long one nor a damaged gzip ends the reading."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from typing import BinaryIO

_BYTES_AT_ONCE = 2**17


def read_byte_lines(
    stream: BinaryIO, compressed: bool, longest: int
) -> Iterator[tuple[int, bytes, str | None]]:
    """Yields of each line its number, from 1, its bytes without their end, and its problem.

    Args:
        stream: the file's bytes.
        compressed: whether they are gzip.
        longest: bytes of a line. Of a longer one no more than that is held; its bytes are b"" and
            its problem is "too long".

    Where a gzip is damaged, the line that it reached has the problem "damaged gzip", and is the
    last one.
    """
    number, begun, too_long = 0, b"", False
    source = gzip.GzipFile(fileobj=stream) if compressed else stream
    while True:
        try:
            block = source.read1(_BYTES_AT_ONCE) if compressed else source.read(_BYTES_AT_ONCE)
        except (gzip.BadGzipFile, EOFError, zlib.error):
            yield number + 1, b"", "damaged gzip"
            return
        if not block:
            break
        *whole, rest = block.split(b"\n")
        for line in whole:
            number += 1
            line = begun + line
            if too_long or len(line) > longest:
                yield number, b"", "too long"
            else:
                yield number, line.removesuffix(b"\r"), None
            begun, too_long = b"", False
        begun += rest
        if len(begun) > longest:
            begun, too_long = b"", True
    if begun or too_long:
        yield number + 1, *((b"", "too long") if too_long else (begun.removesuffix(b"\r"), None))
