"""Records of a WARC or WET file (ISO 28500), one by one, past what is broken.

In a .warc.gz each record is a gzip member of its own. After damage the reading goes on with the
next member that can be read, so that one record is lost and not the rest of the file; a library's
iterator ends there. What is within a record is read by fastwarc: see `web_pages`.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterator
from typing import BinaryIO

_BYTES_AT_ONCE = 2**17
_LONGEST_HEADER = 2**16
_MAGIC = b"\x1f\x8b\x08"
_BEGIN = b"WARC/1."


@dataclasses.dataclass(frozen=True)
class WarcRecord:
    """A record, or what is left of one.

    Args:
        offset: in the file, of the record, or of the gzip member in which it begins.
        kind: its WARC-Type.
        url: its WARC-Target-URI, or "".
        whole: its bytes, header included.
        start: of the content in them.
        problem: why it cannot be read, if it cannot.
    """

    offset: int
    kind: str = ""
    url: str = ""
    whole: bytes = b""
    start: int = 0
    problem: str | None = None


def read_warc(stream: BinaryIO, compressed: bool, longest: int) -> Iterator[WarcRecord]:
    """The records of a file in their order; of a broken one its place and problem.

    Args:
        stream: the file's bytes.
        compressed: whether they are gzip, of one member or many.
        longest: bytes of the content of a record. A longer one is passed over and never held.
    """
    buffer = _Buffer(_members(stream) if compressed else _blocks(stream), exact=not compressed)
    while buffer.fill(len(_BEGIN)) or buffer.data or buffer.damaged:
        if buffer.data[:2] == b"\r\n":  # what ends the record before
            buffer.drop(2)
            continue
        record = _next_record(buffer, longest) if buffer.data else None
        if record is None:
            offset = buffer.offset if buffer.data else buffer.damaged_at
            record = WarcRecord(offset, problem="damaged gzip")
            buffer.go_on()
        yield record


def _next_record(buffer: _Buffer, longest: int) -> WarcRecord | None:
    """The record that begins `buffer`; None if damage comes before its end."""
    offset = buffer.offset
    end = _end_of_header(buffer)
    headers = _headers(bytes(buffer.data[:end])) if end else None
    length = (headers or {}).get("content-length", "")
    if headers is None or not (length.isascii() and length.isdigit()):
        if not _to_next_record(buffer):
            return None
        return WarcRecord(offset, problem="no WARC header")
    size = end + int(length)
    if int(length) > longest:
        whole = buffer.skip(size)
    else:
        whole = buffer.fill(size)
    # A member's checksum is behind its data: up to the next member it is not known to be right.
    buffer.fill(min(size, len(buffer.data)) + len(b"\r\n\r\n") + 1)
    if buffer.damaged and (not whole or buffer.damaged_at == offset):
        return None
    if not whole:
        buffer.drop(len(buffer.data))
        return WarcRecord(offset, problem="cut short")
    if int(length) > longest:
        return WarcRecord(offset, problem="too long")
    record = bytes(buffer.data[:size])
    buffer.drop(size)
    kind, url = headers.get("warc-type", "").lower(), headers.get("warc-target-uri", "")
    return WarcRecord(offset, kind, url.strip("<>"), record, end)


def _end_of_header(buffer: _Buffer) -> int:
    """Where the content begins; 0 if no header ends within `_LONGEST_HEADER` bytes."""
    size = len(_BEGIN)
    while True:
        more = buffer.fill(size)
        if (end := buffer.data.find(b"\r\n\r\n", 0, _LONGEST_HEADER)) >= 0:
            return end + 4
        if not more or size >= _LONGEST_HEADER:
            return 0
        size = len(buffer.data) + 1


def _headers(header: bytes) -> dict[str, str] | None:
    """The fields of a header, by their names in small letters; None if it is none."""
    first, *lines = header.decode("utf-8", "replace").split("\r\n")
    if not first.startswith(_BEGIN.decode()):
        return None
    fields = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            fields[name.strip().lower()] = value.strip()
    return fields


def _to_next_record(buffer: _Buffer) -> bool:
    """Drops bytes until a line begins as a record does, or all; False if damage comes before."""
    buffer.drop(1)
    while (found := buffer.data.find(b"\n" + _BEGIN)) < 0:
        buffer.drop(max(0, len(buffer.data) - len(_BEGIN)))
        if not buffer.fill(len(buffer.data) + 1):
            if not buffer.damaged:
                buffer.drop(len(buffer.data))
            return not buffer.damaged
    buffer.drop(found + 1)
    return True


class _Buffer:
    """Bytes that are read as they are asked for, up to where some are damaged.

    Args:
        blocks: (offset of the gzip member, bytes), or None for damaged ones.
        exact: whether the bytes are those of the file, whose offsets can be counted.

    Attributes:
        data: what was read and not dropped.
        damaged: whether the bytes behind `data` are damaged.
        damaged_at: the offset of their gzip member.
    """

    def __init__(self, blocks: Iterator[tuple[int, bytes | None]], exact: bool):
        self._blocks, self._exact, self._dropped = blocks, exact, 0
        self._offsets: list[tuple[int, int]] = []  # (first byte in data, offset in the file)
        self.data = bytearray()
        self.damaged, self.damaged_at = False, 0

    @property
    def offset(self) -> int:
        """In the file, of the first byte of `data` or of its gzip member."""
        if self._exact:
            return self._dropped
        return self._offsets[0][1] if self._offsets else 0

    def fill(self, size: int) -> bool:
        """Reads until there are so many bytes; False if there are not."""
        while len(self.data) < size and not self.damaged:
            offset, block = next(self._blocks, (0, b""))
            if block is None:
                self.damaged, self.damaged_at = True, offset
            elif not block:
                return False
            else:
                if not self._offsets or self._offsets[-1][1] != offset:
                    self._offsets.append((len(self.data), offset))
                self.data += block
        return len(self.data) >= size

    def drop(self, size: int) -> None:
        """Forgets the first bytes of `data`."""
        size = min(size, len(self.data))
        self._dropped += size
        del self.data[:size]
        moved = [(start - size, offset) for start, offset in self._offsets]
        last = max((i for i, (start, _) in enumerate(moved) if start <= 0), default=0)
        self._offsets = [(max(0, start), offset) for start, offset in moved[last:]]

    def skip(self, size: int) -> bool:
        """Drops so many bytes without holding them; False if there were not so many."""
        while size > 0:
            if not self.data and not self.fill(1):
                return False
            part = min(size, len(self.data))
            self.drop(part)
            size -= part
        return True

    def go_on(self) -> None:
        """Behind the damage; the record that was begun before it is lost."""
        self.drop(len(self.data))
        self._offsets = []
        self.damaged = False


def _blocks(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while block := stream.read(_BYTES_AT_ONCE):
        yield offset, block
        offset += len(block)


def _members(stream: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """What is in the members of a gzip; (offset, None) where one is damaged or cut short."""
    pending, base = stream.read(_BYTES_AT_ONCE), 0  # bytes not yet used, and where they begin
    while pending:
        begin, member = base, zlib.decompressobj(wbits=31)
        kept = pending  # to look for the next member in, should this one be damaged
        try:
            while True:
                data = member.decompress(pending, _BYTES_AT_ONCE)
                if data:
                    yield begin, data
                if member.eof:
                    base += len(pending) - len(member.unused_data)
                    pending = member.unused_data or stream.read(_BYTES_AT_ONCE)
                    break
                base += len(pending) - len(member.unconsumed_tail)
                pending = member.unconsumed_tail
                if not pending and not data:
                    if not (more := stream.read(_BYTES_AT_ONCE)):
                        raise zlib.error("cut short; or damage that took the next ones for its own")
                    kept = pending = more
        except zlib.error:
            if begin == base and not pending.strip(b"\0"):  # as copies to whole blocks leave them
                return
            yield begin, None
            pending, base = _next_member(stream, kept, base - (len(kept) - len(pending)))


def _next_member(stream: BinaryIO, pending: bytes, base: int) -> tuple[bytes, int]:
    """The bytes from the next place where a gzip member may begin, and where that is."""
    while True:
        found = pending.find(_MAGIC, 1)
        if found >= 0 and len(pending) - found > 64:
            # A magic number in the midst of data is no beginning: a true one can be read.
            try:
                zlib.decompressobj(wbits=31).decompress(pending[found : found + 64])
                return pending[found:], base + found
            except zlib.error:
                base += found
                pending = pending[found:]
                continue
        keep = found if found >= 0 else max(0, len(pending) - len(_MAGIC))
        more = stream.read(_BYTES_AT_ONCE)
        if not more:
            return (pending[found:], base + found) if found >= 0 else (b"", base)
        pending, base = pending[keep:] + more, base + keep
        # find(..., 1) would pass over a magic number that begins the bytes that are left.
        pending, base = b"\0" + pending, base - 1
