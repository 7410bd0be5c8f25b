"""ShardWriter: translation pairs into shards that are alike."""

from __future__ import annotations

import contextlib
import gzip
import os
import zlib

import numpy as np
import tensorflow as tf

from labse_tf.data.pair_files import SOURCE_FEATURE, TARGET_FEATURE

_WINDOW = 2**16  # pairs in memory that are shuffled together


class ShardWriter:
    """Writes pairs to `folder` as shards of one file: NAME.tfrecord-00000-of-00004 and so on.

    Pairs are shuffled in windows of 65,536 and then dealt out in turn, so that shards have equal
    numbers of pairs, give or take one, of every part of the input. There are fewer shards where
    there are fewer pairs, since an empty one could not be read. The same pairs under the same name
    with the same seed give the same bytes.

    Args:
        folder: that exists.
        name: of the file, without suffix.
        shards: how many.
        file_format: "tfrecord", the Model Garden's features `src_raw` and `tgt_raw`; or "tsv".
        compress: whether to gzip the shards; `.gz` then ends their names.
        seed: of the order.

    Raises:
        OSError: the shards cannot be written.

    Example:
        >>> with ShardWriter("train", "deu-eng", shards=4) as writer:
        ...     writer.write([("Hallo", "Hello"), ("Danke", "Thanks")])
        >>> writer.counts
        {'deu-eng.tfrecord-00000-of-00002': 1, 'deu-eng.tfrecord-00001-of-00002': 1}
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        name: str,
        shards: int,
        *,
        file_format: str = "tfrecord",
        compress: bool = False,
        seed: int = 0,
    ):
        self._folder, self._stem = os.fspath(folder), f"{name}.{file_format}"
        self._shards, self._compress = shards, compress
        self._open = _TSVFile if file_format == "tsv" else _TFRecordFile
        # The order of one file does not depend on which others there are.
        self._rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        self._window: list[tuple[str, str]] = []
        self._files: list[_TSVFile | _TFRecordFile] = []
        self._dealt = 0
        #: Of each shard's name, its pairs; once the block that writes has ended.
        self.counts: dict[str, int] = {}

    def __enter__(self) -> ShardWriter:
        return self

    def write(self, pairs: list[tuple[str, str]]) -> None:
        """Adds pairs, which hold no tabs and line feeds if the format is TSV."""
        self._window += pairs
        while len(self._window) >= _WINDOW:
            self._deal(self._window[:_WINDOW])
            del self._window[:_WINDOW]

    def __exit__(self, error_type, error, traceback) -> None:
        try:
            if error_type is None:
                self._deal(self._window)
        finally:
            with contextlib.ExitStack() as closing:  # all, even where one fails
                for file in self._files:
                    closing.callback(file.close)
        if error_type is None:
            self._rename()

    def _deal(self, window: list[tuple[str, str]]) -> None:
        order = self._rng.permutation(len(window))
        for turn in range(min(self._shards, len(window))):
            shard = (self._dealt + turn) % self._shards
            if shard == len(self._files):
                self._files.append(self._open(self._path(shard), self._compress))
            self._files[shard].write([window[i] for i in order[turn :: self._shards]])
        self._dealt += len(window)

    def _path(self, shard: int) -> str:
        return os.path.join(self._folder, f"{self._stem}.{shard}.unfinished")

    def _rename(self) -> None:
        number = len(self._files)
        for shard in range(number):
            name = f"{self._stem}-{shard:05}-of-{number:05}{'.gz' if self._compress else ''}"
            os.rename(self._path(shard), os.path.join(self._folder, name))
            self.counts[name] = self._files[shard].count


class _TSVFile:
    def __init__(self, path: str, compress: bool):
        self._file = open(path, "wb")
        # Without the name and the time that gzip would note: the same bytes every time.
        self._stream = (
            gzip.GzipFile("", "wb", fileobj=self._file, mtime=0) if compress else self._file
        )
        self.count = 0

    def write(self, pairs: list[tuple[str, str]]) -> None:
        self.count += len(pairs)
        self._stream.write("".join(f"{source}\t{target}\n" for source, target in pairs).encode())

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            self._file.close()


class _TFRecordFile:
    def __init__(self, path: str, compress: bool):
        self._path = path
        with self._as_os_error():
            self._writer = tf.io.TFRecordWriter(path, "GZIP" if compress else "")
        self.count = 0

    def write(self, pairs: list[tuple[str, str]]) -> None:
        self.count += len(pairs)
        with self._as_os_error():
            for source, target in pairs:
                example = tf.train.Example()
                feature = example.features.feature
                feature[SOURCE_FEATURE].bytes_list.value.append(source.encode())
                feature[TARGET_FEATURE].bytes_list.value.append(target.encode())
                self._writer.write(example.SerializeToString(deterministic=True))

    def close(self) -> None:
        with self._as_os_error():
            self._writer.close()

    @contextlib.contextmanager
    def _as_os_error(self):
        try:
            yield
        except tf.errors.OpError as error:
            raise OSError(f"Cannot write {self._path!r}: {error.message}") from error
