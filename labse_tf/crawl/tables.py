"""Parquet files of sentences, written row by row and read by row numbers (pyarrow).

The same rows give the same bytes, with one version of pyarrow.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from labse_tf.extras import install_hint
from labse_tf.files.atomic import atomic_file

ROWS_OF_A_GROUP = 16_384


def check_installed() -> None:
    """Raises ImportError, with what to install, if pyarrow is not."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"The shards of a crawl need pyarrow: {install_hint('crawl')}."
        ) from error


class TableWriter:
    """Writes rows to a Parquet file in groups of `ROWS_OF_A_GROUP`.

    Made by `table_writer`.

    Attributes:
        rows: how many there are.
    """

    def __init__(self, file, columns: Mapping[str, str]):
        import pyarrow as pa
        import pyarrow.parquet as pq

        types = {"int32": pa.int32(), "int64": pa.int64(), "float32": pa.float32()}
        types["string"] = pa.string()
        self._schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")
        self._pending: list[tuple] = []
        self.rows = 0

    def append(self, row: tuple) -> None:
        """Adds a row, a value for each column."""
        self._pending.append(row)
        self.rows += 1
        if len(self._pending) == ROWS_OF_A_GROUP:
            self._flush()

    def close(self) -> None:
        """Writes what is left, and the end of the file."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._pending:
            columns = [
                pa.array(values, field.type)
                for values, field in zip(zip(*self._pending), self._schema)
            ]
            self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
            self._pending = []


@contextlib.contextmanager
def table_writer(path: str | os.PathLike, columns: Mapping[str, str]) -> Iterator[TableWriter]:
    """Gives a writer of a Parquet file, which is at `path` if the block ends well.

    Args:
        path: the file.
        columns: their types by their names: "int32", "int64", "float32", "string".
    """
    check_installed()
    with atomic_file(path, "wb") as file:
        writer = TableWriter(file, columns)
        yield writer
        writer.close()


def read_columns(path: str | os.PathLike, columns: Sequence[str]) -> list[list[Any]]:
    """The values of some columns of a Parquet file."""
    import pyarrow.parquet as pq

    # Not pq.read_table, which may read the parts of other files that lie beside this one.
    with pq.ParquetFile(path) as file:
        table = file.read(columns=list(columns))
    return [table.column(name).to_pylist() for name in columns]


def read_rows(path: str | os.PathLike, rows: np.ndarray, columns: Sequence[str]) -> list[tuple]:
    """Some rows of a Parquet file, in their order.

    Args:
        path: a file of `table_writer`.
        rows: int [n], ascending.
        columns: whose values make a row.
    """
    import pyarrow.parquet as pq

    found: list[tuple] = []
    with pq.ParquetFile(path) as file:
        groups = rows // ROWS_OF_A_GROUP
        for group in np.unique(groups).tolist():
            table = file.read_row_group(group, columns=list(columns))
            places = rows[groups == group] - group * ROWS_OF_A_GROUP
            found.extend(zip(*(table.column(c).take(places).to_pylist() for c in columns)))
    return found


def read_range(
    path: str | os.PathLike, start: int, end: int, columns: Sequence[str]
) -> list[tuple]:
    """The rows of a Parquet file from `start` to `end`."""
    return read_rows(path, np.arange(start, end), columns)
