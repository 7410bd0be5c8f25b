"""Files of translation pairs: their format by name, their validation, their pairs.

Two formats, each plain or gzip, named in small letters or capitals:

- TSV (`.tsv`, `.tsv.gz`): a pair a line, source TAB target, UTF-8. A third column (a language, a
  corpus) is allowed and ignored, a carriage return before the line feed too. Where hard negatives
  are asked for, they are the columns behind the target, one each.
- TFRecord (`.tfrecord`, `.tfrecord.gz`) of tf.train.Example with the bytes features `src_raw` and
  `tgt_raw`, as of Model Garden's official/projects/labse. Hard negatives are those of `neg_raw`.

Shards are named as Model Garden names them: `corpus.tfrecord-00000-of-00010`.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import tensorflow as tf
from google.protobuf.message import DecodeError

from labse_tf.data.gzip_files import check_gzip_end
from labse_tf.data.regular_files import why_no_file
from labse_tf.files.lines import read_blocks, without_mark
from labse_tf.files.reservoir import Reservoir

SOURCE_FEATURE, TARGET_FEATURE, NEGATIVES_FEATURE = "src_raw", "tgt_raw", "neg_raw"

_NAME = re.compile(r"\.(tsv|tfrecord)(?:-\d+-of-\d+)?(\.gz)?(?:-\d+-of-\d+)?$", re.IGNORECASE)
_open = functools.partial(tf.io.gfile.GFile, mode="rb")
SAMPLE_SIZE = 2000  # Pairs of all files whose length is measured.
_RECORDS_AT_ONCE = 1024  # reading records one by one costs 0.2 ms each


class PairFormat(NamedTuple):
    """`container` is "tsv" or "tfrecord"; `compression` is "" or "GZIP", as tf.data has it."""

    container: str
    compression: str


def pair_format(path: str | os.PathLike) -> PairFormat:
    """The format that a file's name stands for.

    Raises:
        ValueError: the name has none of the known endings.
    """
    match = _NAME.search(os.fspath(path))
    if not match:
        raise ValueError(
            f"The name of {os.fspath(path)!r} does not say its format: expected it to end in .tsv, "
            ".tsv.gz, .tfrecord or .tfrecord.gz, or in these and a shard's number "
            "(.tfrecord-00000-of-00010)."
        )
    return PairFormat(match[1].lower(), "GZIP" if match[2] else "")


def is_pairs(path: str | os.PathLike) -> bool:
    """Return whether a file's name says that it holds translation pairs."""
    return _NAME.search(os.fspath(path)) is not None


def common_container(paths: Iterable[str | os.PathLike]) -> str:
    """Return the container of all files, "tsv" or "tfrecord". Their compression may differ.

    Raises:
        ValueError: If there are no files, a name has none of the known endings, or two files have
            different containers.
    """
    containers = {os.fspath(path): pair_format(path).container for path in paths}
    if not containers:
        raise ValueError("No files of translation pairs were given: expected at least one.")
    (first, expected), *others = containers.items()
    for path, other in others:
        if other != expected:
            raise ValueError(
                f"{first!r} and {path!r} differ in format: files that are read together must all "
                "be TSV or all be TFRecord. Convert one of them."
            )
    return expected


def read_columns(path: str | os.PathLike) -> Iterator[tuple[str, str]]:
    """The pairs of a file as (source, target) strings, in order; each is checked.

    About a million lines a second from TSV.

    Args:
        path: a file of translation pairs, TSV or TFRecord.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is empty, its format is unknown, or it is damaged; or a pair has not
            two sides, an empty side (or one of white space alone) or invalid UTF-8. The message
            begins with `file:line:`, of a TFRecord with `file: record number:`, counted from 1.

    Example:
        >>> next(read_columns("deu-eng.tsv.gz"))
        ('Wir stehen uns nahe.', "We're close.")
    """
    return itertools.chain.from_iterable(_read_blocks(path))


def scan_pairs(
    path: str | os.PathLike, hard_negatives: int = 0, sample_size: int = 1
) -> tuple[int, list[tuple[str, ...]]]:
    """Check a whole file as `read_columns` does; return the number of its pairs and a sample.

    Args:
        path: A file of translation pairs.
        hard_negatives: Number of hard negatives that each pair must have.
        sample_size: Number of pairs in the sample, drawn uniformly; all pairs if there are fewer.

    Raises:
        ValueError: as `read_columns`, or TensorFlow could not read the file.
    """
    reservoir = Reservoir(sample_size)
    for block in _read_blocks(path, hard_negatives):
        reservoir.extend(block)
    check_gzip_end(path)
    return reservoir.count, reservoir.items


def _read_blocks(
    path: str | os.PathLike, hard_negatives: int = 0
) -> Iterator[list[tuple[str, ...]]]:
    path = os.fspath(path)
    container, compression = pair_format(path)
    if unusable := why_no_file(path):
        raise FileNotFoundError(f"The file of translation pairs {path!r} {unusable}.")
    read = _read_tsv if container == "tsv" else _read_tfrecord
    empty = True
    for block in read(path, compression, hard_negatives):
        empty = False
        yield block
    if empty:
        raise ValueError(f"The file of translation pairs {path!r} is empty: expected some.")


def _read_tsv(path: str, compression: str, hard_negatives: int) -> Iterator[list[tuple[str, ...]]]:
    least, most = 2 + hard_negatives, max(3, 2 + hard_negatives)
    number = 0  # of the last line read
    # As TextLineDataset, but for the mark, which it keeps: a Preprocessor makes no token of it.
    blocks = read_blocks(
        path, compressed=bool(compression), carriage_returns=False, open_file=_open
    )
    for lines in without_mark(blocks):
        pairs = []
        for line in lines:
            number += 1
            columns = line.split("\t")
            if not least <= len(columns) <= most:
                raise ValueError(
                    f"{path}:{number}: expected {_columns(hard_negatives)}, but got "
                    f"{len(columns)}: {line[:80]!r}. Correct or remove the line."
                )
            if not all(map(str.strip, columns[:least])):
                raise ValueError(f"{path}:{number}: {empty_side(columns[:least])}")
            pairs.append(tuple(columns[:least]))
        yield pairs


def _columns(hard_negatives: int) -> str:
    if not hard_negatives:
        return "2 columns (source TAB target) or 3"
    return f"{2 + hard_negatives} columns (source TAB target TAB {hard_negatives} hard negatives)"


def empty_side(texts: Sequence[str]) -> str:
    """What is wrong with a pair of which a text is empty, or white space alone."""
    empty = next(i for i, text in enumerate(texts) if not text.strip())
    side = ("source", "target")[empty] if empty < 2 else "hard negative"
    return f"the {side} is empty: {tuple(texts)!r:.80}. A pair needs all of them; remove it."


def _read_tfrecord(
    path: str, compression: str, hard_negatives: int
) -> Iterator[list[tuple[str, ...]]]:
    features = {SOURCE_FEATURE: 1, TARGET_FEATURE: 1}
    if hard_negatives:
        features[NEGATIVES_FEATURE] = hard_negatives
    number = 0  # of the last record read
    for records in _blocks_of_records(path, compression):
        pairs = []
        for record in records:
            number += 1
            try:
                feature = tf.train.Example.FromString(record).features.feature
            except DecodeError as error:
                raise ValueError(
                    f"{path}: record {number}: not a tf.train.Example: {error}."
                ) from error
            pairs.append(
                tuple(
                    text
                    for name, count in features.items()
                    for text in _texts(feature, name, count, path, number)
                )
            )
            if not all(map(str.strip, pairs[-1])):
                raise ValueError(f"{path}: record {number}: {empty_side(pairs[-1])}")
        yield pairs


def _texts(
    feature: dict[str, tf.train.Feature], name: str, count: int, path: str, number: int
) -> list[str]:
    values = feature[name].bytes_list.value if name in feature else []
    if len(values) != count:
        wanted = "one string" if count == 1 else f"{count} strings"
        raise ValueError(
            f"{path}: record {number}: expected the feature {name!r} to hold {wanted}, but it "
            f"has {len(values)}; the record's features are {sorted(feature)}."
        )
    try:
        return [value.decode("utf-8") for value in values]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: record {number}: invalid UTF-8 in {name!r} ({error.reason})."
        ) from error


def _blocks_of_records(path: str, compression: str) -> Iterator[list[bytes]]:
    records = tf.data.TFRecordDataset(path, compression)
    number = 0
    try:
        for block in records.batch(_RECORDS_AT_ONCE).as_numpy_iterator():
            yield block
            number += len(block)
    except tf.errors.OpError as error:
        # Somewhere in the block that begins here: look again, one by one.
        try:
            for record in records.skip(number).as_numpy_iterator():
                yield [record]
                number += 1
        except tf.errors.OpError:
            pass
        check_gzip_end(path)
        raise ValueError(
            f"{path}: record {number + 1}: the TFRecord is damaged or cut short here: "
            f"{error.message}. Fetch or write the file again."
        ) from error
