"""Lines of UTF-8 text: of a file, plain or gzip, or of standard input."""

from __future__ import annotations

import gzip
import itertools
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

STDIN = "-"
ERRORS = ("strict", "replace")
_BYTES_AT_ONCE = 2**17


def read_lines(path: str | os.PathLike, errors: str = "strict") -> Iterator[str]:
    """The lines of a UTF-8 text without their ends, read as they are asked for.

    A byte order mark at the start is dropped.

    Args:
        path: a file or a pipe, plain or `.gz`; or "-" for standard input.
        errors: of invalid UTF-8: "strict", or "replace" by U+FFFD.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: invalid UTF-8 or a damaged file; the message begins with `file:line:`.
    """
    if errors not in ERRORS:
        raise ValueError(f"`errors` (={errors!r}) must be one of {ERRORS}.")
    remedy = "Mend the line, or go on with errors='replace' (--errors replace)."
    blocks = read_blocks(path, errors=errors, remedy=remedy)
    lines = itertools.chain.from_iterable(without_mark(blocks))
    return (line.removesuffix("\r") for line in lines)


def read_blocks(
    path: str | os.PathLike,
    *,
    compressed: bool | None = None,
    errors: str = "strict",
    carriage_returns: bool = True,
    open_file: Callable[[str], BinaryIO] | None = None,
    remedy: str = "Convert the file (`iconv -t UTF-8`).",
) -> Iterator[list[str]]:
    """The lines of a UTF-8 text in blocks of about 128 KiB, for speed.

    From a pipe, a block is what has come.

    Args:
        path: a file; or "-" for standard input.
        compressed: whether it is gzip; None: if its name ends in `.gz` or `.GZ`.
        errors: of invalid UTF-8, as of `bytes.decode`.
        carriage_returns: whether they stay, or are dropped wherever they are.
        open_file: opens the path to read bytes, as one that Python's own `open` cannot.
        remedy: of invalid UTF-8; ends the message.

    Returns:
        Lists of lines without their line feeds.

    Raises:
        OSError: as of `open_file`; FileNotFoundError: there is no such file.
        ValueError: invalid UTF-8, or a gzip that is damaged or cut short. The message begins with
            `file:line:`, and all lines before that one were given.
    """
    path = os.fspath(path)
    number = 0  # of the last line given
    for block in _whole_lines(path, compressed, open_file or _open):
        end, error = len(block), None
        try:
            text = block.decode("utf-8", errors)
        except UnicodeDecodeError as invalid:
            end, error = block.rfind(b"\n", 0, invalid.start) + 1, invalid
            text = block[:end].decode("utf-8")
        if not carriage_returns:
            text = text.replace("\r", "")
        if end:
            lines = text.removesuffix("\n").split("\n")
            number += len(lines)
            yield lines
        if error:
            raise ValueError(
                f"{path}:{number + 1}: invalid UTF-8 ({error.reason}: byte "
                f"{block[error.start]:#04x} in position {error.start - end}). {remedy}"
            ) from error


def count_lines(path: str | os.PathLike) -> int:
    """How many lines `read_lines` gives of a file, without a look at what they hold."""
    blocks = _whole_lines(os.fspath(path), None, _open)
    return sum(block.count(b"\n") + (not block.endswith(b"\n")) for block in blocks)


def without_mark(blocks: Iterator[list[str]]) -> Iterator[list[str]]:
    """The lines of `read_blocks`, the first of them without a byte order mark."""
    for number, lines in enumerate(blocks):
        if not number:
            lines[0] = lines[0].removeprefix("\ufeff")
        yield lines


def _whole_lines(
    path: str, compressed: bool | None, open_file: Callable[[str], BinaryIO]
) -> Iterator[bytes]:
    """The file in blocks of whole lines; the last line may lack its line feed."""
    if compressed is None:
        compressed = path.lower().endswith(".gz")
    number, begun = 0, []  # lines given, and the parts of one that has not ended
    with open_file(path) as file:
        stream = gzip.GzipFile(fileobj=file) if compressed else file
        # Of a pipe `read` would wait for the whole block, and `read1` does not.
        read = getattr(stream, "read1", stream.read)
        while True:
            try:
                block = read(_BYTES_AT_ONCE)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise ValueError(
                    f"{path}:{number + 1}: the gzip is damaged or cut short here: {error}. "
                    "Fetch or compress the file again."
                ) from error
            if not block:
                break
            end = block.rfind(b"\n") + 1
            if end:
                yield (lines := b"".join([*begun, block[:end]]))
                number += lines.count(b"\n")
                begun = []
            if end < len(block):
                begun.append(block[end:])
    if begun:
        yield b"".join(begun)


def _open(path: str) -> BinaryIO:
    if path == STDIN:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    return open(path, "rb")
