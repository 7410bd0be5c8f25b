"""Records of a crawl's files: WET, WARC, text, JSONL, Parquet; what is broken is told."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from typing import BinaryIO

from labse_tf.crawl.steps.byte_lines import read_byte_lines
from labse_tf.crawl.steps.warc import read_warc

FORMATS = ("warc", "jsonl", "parquet", "text")
_NAME = re.compile(r"\.(warc(?:\.wet)?|wet|jsonl|parquet|txt|text)?(\.gz)?$", re.IGNORECASE)
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclasses.dataclass(frozen=True)
class Record:
    """A document, or a line.

    Args:
        number: in its file: of the record, of the line or of the row, from 1.
        url: where it is from; "" where the file does not say.
        lines: its paragraphs.
    """

    number: int
    url: str
    lines: list[str]


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A record that was not read.

    Args:
        place: in its file, as "byte 1234" (where the record, or its member of a gzip, begins) or
            "line 7".
        reason: short, of a few kinds, so that it can be counted.
    """

    place: str
    reason: str


def format_of(path: str) -> tuple[str, bool]:
    """The format of a file, of `FORMATS`, and whether it is gzip, by its name.

    A name that says neither is text, a line a paragraph.
    """
    match = _NAME.search(path)
    kind, compressed = match.groups() if match else (None, None)
    kind = (kind or "txt").lower()
    if kind in ("jsonl", "parquet"):
        return kind, bool(compressed)
    return ("text" if kind.startswith("t") else "warc"), bool(compressed)


def read_records(
    stream: BinaryIO, path: str, *, longest: int, text_field: str, url_field: str
) -> Iterator[Record | Skipped]:
    """The records of a file, and what had to be skipped.

    Args:
        stream: the file's bytes.
        path: whose name says what is in it, see `format_of`.
        longest: bytes of a record or line; a longer one is skipped and never held.
        text_field, url_field: of JSONL and Parquet.

    Raises:
        ImportError: what reads this format is not installed.
        ValueError: a Parquet file has no such column of text.
    """
    kind, compressed = format_of(path)
    if kind == "warc":
        yield from _of_warc(stream, compressed, longest)
    elif kind == "parquet":
        yield from _of_parquet(stream, path, longest, text_field, url_field)
    else:
        yield from _of_lines(stream, compressed, longest, kind == "jsonl", text_field, url_field)


def _of_warc(stream: BinaryIO, compressed: bool, longest: int) -> Iterator[Record | Skipped]:
    from labse_tf.crawl.steps.web_pages import text_of

    number = 0
    for record in read_warc(stream, compressed, longest):
        number += 1
        if record.problem is not None:
            yield Skipped(f"byte {record.offset}", record.problem)
            continue
        if record.kind not in ("conversion", "response", "resource"):
            continue
        text, problem = text_of(record)
        if problem is not None:
            yield Skipped(f"byte {record.offset}", problem)
        elif text:
            yield Record(number, record.url, text.split("\n"))


def _of_lines(
    stream: BinaryIO, compressed: bool, longest: int, is_json: bool, text_field: str, url_field: str
) -> Iterator[Record | Skipped]:
    for number, line, problem in read_byte_lines(stream, compressed, longest):
        url, text = "", ""
        if problem is None:
            try:
                text = line.decode("utf-8")
                if number == 1:
                    text = text.removeprefix("\ufeff")
            except UnicodeDecodeError:
                problem = "invalid UTF-8"
        if problem is None and is_json:
            if not text.strip():
                continue
            url, text, problem = _of_json(text, text_field, url_field)
        if problem is not None:
            yield Skipped(f"line {number}", problem)
        else:
            yield Record(number, url, text.split("\n"))


def _of_json(line: str, text_field: str, url_field: str) -> tuple[str, str, str | None]:
    """URL, text and problem of a line of JSONL."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return "", "", "not JSON"
    if not isinstance(values, dict) or not isinstance(values.get(text_field), str):
        return "", "", "no text field"
    return _checked(values[text_field], values.get(url_field))


def _checked(text: str, url) -> tuple[str, str, str | None]:
    url = url if isinstance(url, str) else ""
    if _SURROGATE.search(text) or _SURROGATE.search(url):
        return "", "", "lone surrogate"
    return url, text, None


def _of_parquet(
    stream: BinaryIO, path: str, longest: int, text_field: str, url_field: str
) -> Iterator[Record | Skipped]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(stream)
    except (pa.ArrowInvalid, OSError):
        yield Skipped("byte 0", "damaged Parquet")
        return
    names = table.schema_arrow.names
    if text_field not in names:
        raise ValueError(f"{path!r} has no column {text_field!r} (`text_field`), but {names}.")
    columns = [text_field] + [url_field] * (url_field in names)
    row = 0
    for group in range(table.num_row_groups):
        end = row + table.metadata.row_group(group).num_rows
        try:
            for batch in table.iter_batches(4096, row_groups=[group], columns=columns):
                texts = batch.column(0).to_pylist()
                urls = batch.column(1).to_pylist() if len(columns) > 1 else [""] * len(texts)
                for text, url in zip(texts, urls):
                    row += 1
                    if not isinstance(text, str):
                        yield Skipped(f"row {row}", "no text field")
                    elif len(text.encode("utf-8", "surrogatepass")) > longest:
                        yield Skipped(f"row {row}", "too long")
                    else:
                        yield Record(row, url if isinstance(url, str) else "", text.split("\n"))
        except (pa.ArrowInvalid, OSError, UnicodeDecodeError):
            yield Skipped(f"row {row + 1}", "damaged Parquet")
        row = end
