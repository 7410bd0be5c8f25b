"""Sentences: lines of text, a column of TSV, a field of JSONL, or strings in memory."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping

from labse_tf.files.lines import read_lines

_SURROGATE = re.compile("[\ud800-\udfff]")  # those of a pair are one character by now


def read_column(path: str | os.PathLike, column: int, errors: str = "strict") -> Iterator[str]:
    """One column of tab-separated values. Empty lines at the end are passed over.

    Args:
        path, errors: as of `read_lines`.
        column: from 1.

    Raises:
        FileNotFoundError, ValueError: as `read_lines`; or a line has fewer columns.
    """
    if column < 1:
        raise ValueError(f"`column` (={column}) must be at least 1: the first one.")
    return _column(path, column, read_lines(path, errors))


def read_field(path: str | os.PathLike, field: str, errors: str = "strict") -> Iterator[str]:
    """One field of JSONL: the string that stands under a key in the object of every line.

    Empty lines at the end are passed over.

    Args:
        path: as of `read_lines`.
        field: the key.
        errors: of invalid UTF-8 and of lone surrogates (`"\\ud83d"`): as of `read_lines`.

    Raises:
        FileNotFoundError, ValueError: as `read_lines`; or a line is no JSON object, has no string
            under this key, or one with a lone surrogate.
    """
    return _field(path, field, read_lines(path, errors), errors)


def in_utf8(sentences: Iterable[str] | os.PathLike) -> tuple[Iterator[bytes], int | None]:
    """Sentences in UTF-8, and how many there are, if that is known.

    Args:
        sentences: strings, or the path of a text, a sentence a line. Those of a list are all
            looked at before the first one is given; others when it is their turn.

    Raises:
        TypeError: it is one string, a table or a mapping, or a sentence is not a string (the
            message has its index).
        ValueError: a sentence holds a lone surrogate, which has no UTF-8 form.
    """
    if isinstance(sentences, (str, bytes)):
        raise TypeError(
            f"`sentences` must be a list of strings, but it is one string: {sentences!r:.100}. "
            "Put it in a list; the name of a file in pathlib.Path."
        )
    # Iterating over them would give the names of the columns, or the keys.
    if isinstance(sentences, Mapping) or hasattr(sentences, "columns"):
        raise TypeError(
            f"`sentences` must be a list of strings, but it is a {type(sentences).__name__}. "
            'Choose one column or key: sentences["text"].'
        )
    if isinstance(sentences, os.PathLike):
        return _encoded(read_lines(sentences)), None
    if isinstance(sentences, (list, tuple)):
        for _ in _encoded(sentences):
            pass
    total = len(sentences) if hasattr(sentences, "__len__") else None
    return _encoded(sentences), total


def _encoded(sentences: Iterable[str]) -> Iterator[bytes]:
    for index, sentence in enumerate(sentences):
        if not isinstance(sentence, str):
            raise TypeError(
                f"Sentence {index} is not a string, but {type(sentence).__name__}: "
                f"{sentence!r:.100}."
            )
        try:
            yield sentence.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(f"Sentence {index} cannot be written as UTF-8: {error}.") from error


def _column(path: str | os.PathLike, column: int, lines: Iterator[str]) -> Iterator[str]:
    for number, line in _numbered(lines):
        columns = line.split("\t")
        if len(columns) < column:
            raise ValueError(
                f"{os.fspath(path)}:{number}: there is no column {column}, only {len(columns)}: "
                f"{line!r:.100}."
            )
        yield columns[column - 1]


def _field(path: str | os.PathLike, field: str, lines: Iterator[str], errors: str) -> Iterator[str]:
    for number, line in _numbered(lines):
        place = f"{os.fspath(path)}:{number}"
        try:
            value = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{place}: not JSON: {error}: {line!r:.100}.") from error
        if not isinstance(value, dict) or field not in value:
            raise ValueError(f"{place}: there is no field {field!r} in {line!r:.100}.")
        if not isinstance(value[field], str):
            raise ValueError(f"{place}: {field!r} is no string, but {value[field]!r:.100}.")
        text = value[field]
        if found := _SURROGATE.search(text):
            if errors == "strict":
                raise ValueError(
                    f"{place}: {field!r} holds the lone surrogate {found[0]!r}, half a character. "
                    "Mend the line, or go on with errors='replace' (--errors replace)."
                )
            text = _SURROGATE.sub("\ufffd", text)
        yield text


def _numbered(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Lines and their numbers from 1, but for empty ones at the end."""
    empty = 0  # before this line
    for number, line in enumerate(lines, start=1):
        if not line:
            empty += 1
            continue
        for before in range(number - empty, number):
            yield before, ""
        empty = 0
        yield number, line
