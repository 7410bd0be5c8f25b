"""What an interrupted run needs to be resumed safely: its settings and digests of its input."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

Sentence = TypeVar("Sentence", str, bytes)
_SEGMENT = 4096  # sentences whose digests are held at once
_log = logging.getLogger(__name__)


class ResumeError(ValueError):
    """An interrupted run cannot be resumed with these settings or this input."""


def check_settings(output: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compare the settings of a run with the settings of the interrupted run that it resumes.

    Args:
        output: Path of the unfinished output, for the error message.
        before: Settings of the interrupted run, read from JSON.
        now: Settings of this run. Their values can be written as JSON.

    Raises:
        ResumeError: If a setting differs. The message lists all differences.
    """
    now = json.loads(json.dumps(now))
    differences = [
        f"{name} was {before.get(name)!r:.90} and is now {now.get(name)!r:.90}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    if differences:
        raise ResumeError(
            f"{output!r} cannot be resumed: {'; '.join(differences)}. Run it with the settings of "
            "the interrupted run to resume it, or remove it to start from scratch."
        )


def read_settings(path: str | os.PathLike) -> dict[str, Any] | None:
    """Return the settings in a journal, or None if there is no journal.

    Raises:
        ResumeError: If the journal is damaged.
    """
    try:
        with open(path, "rb") as file:
            settings = json.loads(file.readline())["settings"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ResumeError(
            f"{os.fspath(path)!r} is damaged. Remove it if you know that the settings and the "
            "sentences are those of the interrupted run."
        ) from error
    if not isinstance(settings, dict):
        raise ResumeError(f"{os.fspath(path)!r} holds no settings.")
    return settings


class Journal:
    """A JSONL file beside an unfinished output: its settings, and digests of its sentences.

    The first line has the settings. Each further line belongs to one write to the output: the
    number of rows after it, and a digest of all sentences up to that row. A resumed run compares
    its own sentences with the digests, so that a changed sentence is found wherever it is.

    Args:
        path: Path of the journal.
        output: Path of the unfinished output, for error messages.
        settings: Settings that change the rows. Their values can be written as JSON.
        rows: Number of rows in the output that is resumed, or 0 for a new run.

    Attributes:
        rows: Number of rows that can be resumed: at most `rows` above, and the last write that
            the journal has recorded.

    Raises:
        ResumeError: If the interrupted run had other settings, or the journal is damaged.
    """

    def __init__(self, path: str, output: str, settings: Mapping[str, Any], rows: int):
        self.path, self.rows, self._output = path, rows, output
        self._recorded: dict[int, str] = {}
        self._digest, self._pending = hashlib.blake2b(digest_size=16), deque[bytes]()
        self._written = 0
        self._settings, self._file = dict(settings), None
        before = read_settings(path) if rows else None
        if before is not None:
            check_settings(output, before, settings)
            self._recorded, end = _read_digests(path, rows)
            self.rows = max(self._recorded, default=0)
            self._open("r+b", end)
        elif rows:  # without a journal until the first write, when its rows have been checked
            _log.warning(
                "%r does not exist: only the first and the last row of %r can be checked.",
                path,
                output,
            )
        else:
            self._open("wb")

    def watch(self, sentences: Iterable[Sentence]) -> Iterator[Sentence]:
        """Yield the sentences, and remember them until their rows are recorded."""
        for sentence in sentences:
            encoded = sentence if isinstance(sentence, bytes) else _encode(sentence)
            self._pending.append(hashlib.blake2b(encoded, digest_size=16).digest())
            yield sentence

    def skip(self, sentences: Iterator[Sentence]) -> tuple[Sentence, Sentence]:
        """Skip the sentences that have rows, and check that they are the same as before.

        Args:
            sentences: What `watch` returned, from its start.

        Returns:
            The first and the last of the skipped sentences.

        Raises:
            ResumeError: If a sentence has changed, or there are fewer sentences than rows.
        """
        first = last = None
        start = 0
        for end in self._recorded or [*range(_SEGMENT, self.rows, _SEGMENT), self.rows]:
            for last in itertools.islice(sentences, end - start):
                first = last if first is None else first
            if len(self._pending) < end - start:
                raise ResumeError(
                    f"{self._output!r} cannot be resumed: it has {self.rows:,} rows, but there are "
                    f"only {start + len(self._pending):,} sentences."
                )
            self._advance(end - start)
            if self._recorded and self._recorded[end] != self._digest.hexdigest():
                raise ResumeError(
                    f"{self._output!r} cannot be resumed: sentences {start + 1:,} to {end:,} are "
                    "not the same as in the interrupted run. Give the same sentences to resume it, "
                    "or remove it to start from scratch."
                )
            start = end
        return first, last

    def record(self, rows: int) -> None:
        """Record that the rows of the next `rows` sentences are in the output.

        Raises:
            OSError: If the journal cannot be written.
        """
        self._advance(rows)
        if self._file is None:
            self._open("wb")
        self._write({"rows": self._written, "sentences": self._digest.hexdigest()})

    def close(self, remove: bool = False) -> None:
        """Close the journal; remove it if the output is finished or has no rows."""
        if self._file is not None:
            self._file.close()
        if remove and os.path.lexists(self.path):
            os.remove(self.path)

    def _open(self, mode: str, end: int = 0) -> None:
        # Without a buffer, which after an error would be written again when the file is closed.
        self._file = open(self.path, mode, buffering=0)
        self._file.truncate(self._file.seek(end))
        if not end:
            self._write({"settings": self._settings})

    def _advance(self, rows: int) -> None:
        for _ in range(rows):
            self._digest.update(self._pending.popleft())
        self._written += rows

    def _write(self, line: dict[str, Any]) -> None:
        left = json.dumps(line).encode() + b"\n"
        while left:
            left = left[self._file.write(left) :]


def _encode(sentence: str) -> bytes:
    return sentence.encode("utf-8", "surrogatepass")  # whether it is valid is checked elsewhere


def _read_digests(path: str, rows: int) -> tuple[dict[int, str], int]:
    """Return the digest of each recorded number of rows, and where the last of them ends."""
    digests: dict[int, str] = {}
    with open(path, "rb") as file:
        end = len(next(file))
        for line in file:
            try:
                entry = json.loads(line)
                n, digest = entry["rows"], entry["sentences"]
            except (ValueError, KeyError, TypeError):  # a write that was not completed
                break
            if n > rows or not line.endswith(b"\n"):
                break
            digests[n] = digest
            end += len(line)
    return digests, end
