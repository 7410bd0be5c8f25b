"""Where embeddings go: to memory, or to a .npy file that grows and from which a run goes on."""

from __future__ import annotations

import bisect
import os
import tokenize

import numpy as np

from labse_tf.files.atomic import durable_rename

SUFFIX = ".unfinished"
OUTPUT_DTYPES = ("float32", "float16")


def check_output(path: str | os.PathLike, resume: bool = False) -> None:
    """Says what is wrong with an output before minutes are spent on it.

    Raises:
        FileExistsError: it exists; or an unfinished one does, and `resume` is False.
        FileNotFoundError: there is no such directory, or nothing to resume.
    """
    path = os.fspath(path)
    if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
        raise FileNotFoundError(f"There is no directory to write {path!r} to.")
    if os.path.lexists(path):
        raise FileExistsError(f"{path!r} exists. Choose another path, or remove it.")
    unfinished = path + SUFFIX
    if os.path.lexists(unfinished) and not resume:
        raise FileExistsError(
            f"{unfinished!r} is left from a run that was interrupted: resume it (`resume=True`, "
            "--resume), or remove it."
        )


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

    def close(self) -> None:
        """Nothing to leave."""


class EmbeddingFile:
    """Rows of embeddings, appended to `PATH.unfinished`, which becomes PATH when it is whole.

    `PATH.unfinished` is a .npy file of whole rows whenever it is looked at: its header counts only
    what was written before. Written to, not mapped: a full disk under a memory map is a SIGBUS.

    Args:
        path: the file to write.
        dim: length of a row.
        dtype: "float32" or "float16".
        resume: whether to go on with rows of an earlier run, if there are any.

    Attributes:
        rows: how many there are, those of the earlier run included.

    Raises:
        FileExistsError, FileNotFoundError: see `check_output`.
        OSError: it cannot be written.
        ValueError: the rows of the earlier run are of another length or dtype.
    """

    def __init__(self, path: str | os.PathLike, dim: int, dtype: str, *, resume: bool = False):
        check_output(path, resume)
        self.path, self.unfinished = os.fspath(path), os.fspath(path) + SUFFIX
        self._shape, self._dtype = [dim], np.dtype(dtype)
        self.rows = 0
        goes_on = os.path.exists(self.unfinished)
        # Without a buffer, which after an error would be written again when the file is closed.
        self._file = open(self.unfinished, "r+b" if goes_on else "x+b", buffering=0)
        try:
            if goes_on:
                self.rows = self._rows_before()
            self._write_header()
            self._start = self._file.tell()
            self._file.truncate(self._start + self.rows * self._row_bytes)
        except BaseException:
            self._file.close()
            raise

    @property
    def _row_bytes(self) -> int:
        return self._shape[0] * self._dtype.itemsize

    def read(self, row: int) -> np.ndarray:
        """One row, as it was written."""
        self._file.seek(self._start + row * self._row_bytes)
        return np.frombuffer(self._file.read(self._row_bytes), self._dtype)

    def append(self, embeddings: np.ndarray) -> None:
        """Writes [n, dim] behind the rows there are.

        Raises:
            OSError: they could not be written, as on a full disk; those before are kept.
        """
        try:
            self._file.seek(self._start + self.rows * self._row_bytes)
            left = memoryview(np.ascontiguousarray(embeddings, self._dtype)).cast("B")
            while left:
                left = left[self._file.write(left) :]
            self.rows += len(embeddings)
            self._write_header()
        except OSError as error:
            raise OSError(
                error.errno, f"{error.strerror}; {self.rows:,} rows are kept", self.unfinished
            ) from error

    def finish(self) -> np.ndarray:
        """Gives the file its name, since it is whole, and maps it."""
        os.fsync(self._file.fileno())
        self._file.close()
        durable_rename(self.unfinished, self.path)
        return np.load(self.path, mmap_mode="r" if self.rows else None)  # no map is of 0 bytes

    def close(self) -> None:
        """Leaves the rows there are for another run; without any, leaves nothing."""
        if not self._file.closed:
            self._file.close()
            if not self.rows:
                os.remove(self.unfinished)

    def _write_header(self) -> None:
        self._file.seek(0)
        # NumPy leaves room in it for the number of rows to grow.
        np.lib.format.write_array_header_1_0(
            self._file,
            {
                "descr": np.lib.format.dtype_to_descr(self._dtype),
                "fortran_order": False,
                "shape": (self.rows, *self._shape),
            },
        )

    def _rows_before(self) -> int:
        try:
            np.lib.format.read_magic(self._file)
            shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(self._file)
        except (ValueError, SyntaxError, tokenize.TokenError) as error:
            # Not NumPy's message, which may advise to trust the file.
            raise ValueError(
                f"{self.unfinished!r} cannot be resumed: its header is damaged. Remove it to start "
                "anew."
            ) from error
        if list(shape[1:]) != self._shape or dtype != self._dtype or fortran_order:
            raise ValueError(
                f"{self.unfinished!r} cannot be resumed: its rows are {dtype} {list(shape[1:])}, "
                f"but now they would be {self._dtype} {self._shape}."
            )
        stored = os.path.getsize(self.unfinished) - self._file.tell()
        return min(max(shape[0], 0), stored // self._row_bytes)
