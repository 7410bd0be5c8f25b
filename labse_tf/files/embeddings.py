"""Growing arrays of embeddings: in memory, or in a .npy file that a later run can resume."""

from __future__ import annotations

import bisect
import os
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from labse_tf.files.atomic import durable_rename
from labse_tf.files.journals import Journal, ResumeError, Sentence, read_settings
from labse_tf.files.locks import check_unlocked, lock_file

SUFFIX = ".unfinished"
OUTPUT_DTYPES = ("float32", "float16")


def check_output(path: str | os.PathLike, resume: bool = False) -> None:
    """Check that an output can be written, before minutes are spent on it.

    Raises:
        BlockingIOError: If another process is writing the output.
        FileExistsError: If the output exists; or an unfinished one does, and `resume` is False.
        FileNotFoundError: If the output's directory does not exist.
    """
    path = os.fspath(path)
    if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
        raise FileNotFoundError(f"There is no directory to write {path!r} to.")
    if os.path.lexists(path):
        raise FileExistsError(f"{path!r} exists. Choose another path, or remove it.")
    unfinished = path + SUFFIX
    if os.path.lexists(unfinished):
        check_unlocked(unfinished)
        if not resume:
            raise FileExistsError(
                f"{unfinished!r} is left from a run that was interrupted: resume it "
                "(`resume=True`, --resume), or remove it."
            )


def stored_settings(path: str | os.PathLike) -> dict[str, Any] | None:
    """Return the settings of the interrupted run that left `PATH.unfinished`, if it stored them.

    Raises:
        ResumeError: If the file with the settings is damaged.
    """
    return read_settings(_journal_path(path)) if os.path.exists(os.fspath(path) + SUFFIX) else None


def rows_kept(path: str | os.PathLike) -> int | None:
    """How many rows an interrupted run left in `PATH.unfinished`; None without a readable one."""
    try:
        with open(os.fspath(path) + SUFFIX, "rb") as file:
            np.lib.format.read_magic(file)
            return np.lib.format.read_array_header_1_0(file)[0][0]
    except (OSError, ValueError, SyntaxError, IndexError, tokenize.TokenError):
        return None


class EmbeddingRows:
    """Rows of embeddings in memory, with the methods of an EmbeddingFile.

    Args:
        expected: how many rows there will be, as far as is known.
        dim: length of a row.
        dtype: "float32" or "float16".
    """

    def __init__(self, expected: int, dim: int, dtype: str):
        self.rows = 0
        self._expected = np.empty([expected, dim], dtype)
        self._more: list[np.ndarray] = []
        self._starts: list[int] = []  # of each of `_more`, the number of its first row

    def append(self, embeddings: np.ndarray) -> None:
        """Adds [n, dim] behind the rows there are."""
        room = max(0, len(self._expected) - self.rows)
        self._expected[self.rows : self.rows + len(embeddings)] = embeddings[:room]
        if len(embeddings) > room:
            self._more.append(embeddings[room:].astype(self._expected.dtype))
            self._starts.append(self.rows + room)
        self.rows += len(embeddings)

    def read(self, row: int) -> np.ndarray:
        """One row."""
        if row < len(self._expected):
            return self._expected[row]
        part = bisect.bisect_right(self._starts, row) - 1
        return self._more[part][row - self._starts[part]]

    def finish(self) -> np.ndarray:
        """All rows."""
        if not self._more and self.rows == len(self._expected):
            return self._expected
        return np.concatenate([self._expected[: self.rows], *self._more])

    def watch(self, sentences: Iterable[Sentence]) -> Iterable[Sentence]:
        """Return the sentences; nothing about them is stored."""
        return sentences

    def close(self) -> None:
        """Do nothing; the rows are in memory."""


class EmbeddingFile:
    """Rows of embeddings, appended to `PATH.unfinished`, which is renamed to PATH when complete.

    `PATH.unfinished` is a valid .npy file of whole rows at any time: its header counts only rows
    that have been written. It is written to and not mapped: a full disk under a memory map is a
    SIGBUS. One process at a time holds its lock.

    With `settings`, `PATH.unfinished.jsonl` stores them and digests of the sentences (see
    `labse_tf.files.journals.Journal`), so that a run is not resumed with others.

    Args:
        path: Path of the finished file.
        dim: Length of a row.
        dtype: "float32" or "float16".
        resume: Whether to continue after the rows of an earlier run, if there are any.
        settings: Settings that change the rows, as JSON values. None: none are stored.

    Attributes:
        rows: Number of rows, including those of the earlier run.

    Raises:
        BlockingIOError, FileExistsError, FileNotFoundError: See `check_output`.
        OSError: If the file cannot be written.
        ResumeError: If the rows of the earlier run have another length, dtype or other settings.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        dim: int,
        dtype: str,
        *,
        resume: bool = False,
        settings: Mapping[str, Any] | None = None,
    ):
        check_output(path, resume)
        self.path, self.unfinished = os.fspath(path), os.fspath(path) + SUFFIX
        self._shape, self._dtype = [dim], np.dtype(dtype)
        self.rows = 0
        is_resumed = os.path.exists(self.unfinished)
        # Without a buffer, which after an error would be written again when the file is closed.
        self._file = open(self.unfinished, "r+b" if is_resumed else "x+b", buffering=0)
        self._journal: Journal | None = None
        try:
            lock_file(self._file.fileno(), self.unfinished)
            if is_resumed:
                self.rows = self._read_row_count()
            if settings is not None:
                journal = _journal_path(path)
                self._journal = Journal(journal, self.unfinished, settings, self.rows)
                self.rows = self._journal.rows
            self._write_header(self.rows)
            self._start = self._file.tell()
            self._file.truncate(self._start + self.rows * self._row_bytes)
        except BaseException:
            self._file.close()
            if self._journal is not None:
                self._journal.close()
            raise

    @property
    def _row_bytes(self) -> int:
        return self._shape[0] * self._dtype.itemsize

    def watch(self, sentences: Iterable[Sentence]) -> Iterable[Sentence]:
        """Return the sentences; as they are read, their digests are computed for the journal."""
        return sentences if self._journal is None else self._journal.watch(sentences)

    def skip(self, sentences: Iterator[Sentence]) -> tuple[Sentence, Sentence]:
        """Skip the sentences that have rows; see `Journal.skip`. Needs `settings`."""
        return self._journal.skip(sentences)

    def read(self, row: int) -> np.ndarray:
        """Return a row, as it was written."""
        self._file.seek(self._start + row * self._row_bytes)
        return np.frombuffer(self._file.read(self._row_bytes), self._dtype)

    def append(self, embeddings: np.ndarray) -> None:
        """Write [n, dim] after the existing rows.

        Raises:
            OSError: If they cannot be written, as on a full disk; earlier rows are retained.
        """
        try:
            self._file.seek(self._start + self.rows * self._row_bytes)
            left = memoryview(np.ascontiguousarray(embeddings, self._dtype)).cast("B")
            while left:
                left = left[self._file.write(left) :]
            self._write_header(self.rows + len(embeddings))
            if self._journal is not None:
                self._journal.record(len(embeddings))
            self.rows += len(embeddings)
        except OSError as error:
            raise OSError(
                error.errno, f"{error.strerror}; {self.rows:,} rows are kept", self.unfinished
            ) from error

    def finish(self) -> np.ndarray:
        """Give the complete file its name, and map it into memory.

        Raises:
            FileExistsError: If another file has appeared at the path; the rows are retained.
        """
        os.fsync(self._file.fileno())
        try:
            durable_rename(self.unfinished, self.path, overwrite=False)
        except FileExistsError as error:
            raise FileExistsError(
                f"{self.path!r} was created by another program during this run. Move it away and "
                f"resume; the embeddings are in {self.unfinished!r}."
            ) from error
        if self._journal is not None:
            self._journal.close(remove=True)
        self._file.close()  # releases the lock
        return np.load(self.path, mmap_mode="r" if self.rows else None)  # no map is of 0 bytes

    def close(self) -> None:
        """Leave the rows for another run; if there are none, remove the file."""
        if not self._file.closed:
            if not self.rows:
                os.remove(self.unfinished)
            if self._journal is not None:
                self._journal.close(remove=not self.rows)
            self._file.close()  # releases the lock

    def _write_header(self, rows: int) -> None:
        self._file.seek(0)
        # NumPy leaves room in it for the number of rows to grow.
        np.lib.format.write_array_header_1_0(
            self._file,
            {
                "descr": np.lib.format.dtype_to_descr(self._dtype),
                "fortran_order": False,
                "shape": (rows, *self._shape),
            },
        )

    def _read_row_count(self) -> int:
        try:
            np.lib.format.read_magic(self._file)
            shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(self._file)
        except (ValueError, SyntaxError, tokenize.TokenError) as error:
            # Not NumPy's message, which may advise to trust the file.
            raise ResumeError(
                f"{self.unfinished!r} cannot be resumed: its header is damaged. Remove it to start "
                "from scratch."
            ) from error
        if list(shape[1:]) != self._shape or dtype != self._dtype or fortran_order:
            raise ResumeError(
                f"{self.unfinished!r} cannot be resumed: its rows are {dtype} {list(shape[1:])}, "
                f"but now they would be {self._dtype} {self._shape}."
            )
        stored = os.path.getsize(self.unfinished) - self._file.tell()
        return min(max(shape[0], 0), stored // self._row_bytes)


def _journal_path(path: str | os.PathLike) -> str:
    return f"{os.fspath(path)}{SUFFIX}.jsonl"
