"""Translation pairs that are no files: of a Python list, or of a tf.data.Dataset."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

import tensorflow as tf

from labse_tf.data.pair_files import SAMPLE_SIZE, empty_side
from labse_tf.files.reservoir import Reservoir
from labse_tf.files.tsv import SEPARATORS, to_field

_AT_ONCE = 1024
Pairs = Sequence[Sequence[str]] | tf.data.Dataset


class PairRows:
    """Pairs in memory or of a Dataset, which are read as a TSV file of them would be.

    They are looked through once, a Dataset twice, so that all is checked before anything is
    trained, and a Dataset that is another one at each reading is found out.

    Args:
        pairs: a sequence of (source, target) strings, with the hard negatives after the target; or
            a tf.data.Dataset of such tuples of string scalars, finite and deterministic. It is
            read anew, repeated and shuffled, as a file is. (One that has no end and does not know
            it is read for ever.)
        hard_negatives: how many each pair has.

    Attributes:
        name: what they are called in messages.
        count: number of pairs.
        sample: a uniform random sample of them.
        lines: a tf.data.Dataset of string scalars, the lines of the TSV file.
        checksum: of the plain TSV file.

    Raises:
        ValueError: there are no pairs, or they have no end; or they are no such sequence or
            Dataset; or a pair has not its strings, or has an empty one (or one of white space
            alone); or the Dataset gave other pairs, or another order, the second time.

    Example:
        >>> PairRows([("Guten Tag", "Good day"), ("Danke", "Thank you")]).name
        'a list of 2 pairs'
    """

    def __init__(self, pairs: Pairs, hard_negatives: int = 0):
        self._columns = 2 + hard_negatives
        is_dataset = isinstance(pairs, tf.data.Dataset)
        if is_dataset:
            self.lines = self._joined(pairs)
        else:
            lines = [self._line(number, pair) for number, pair in enumerate(pairs, 1)]
            self.lines = tf.data.Dataset.from_tensor_slices(lines or tf.zeros([0], tf.string))
        digest = hashlib.sha256()
        reservoir = Reservoir(SAMPLE_SIZE)
        for block in self._checked(digest):
            reservoir.extend(block)
        self.count, self.sample = reservoir.count, reservoir.items
        kind = "tf.data.Dataset" if is_dataset else "list"
        if not self.count:
            raise ValueError(f"The {kind} of translation pairs is empty: expected some.")
        self.name = f"a {kind} of {self.count:,} pairs"
        self.checksum = f"sha256:{digest.hexdigest()}"
        if is_dataset:
            again = hashlib.sha256()
            for block in self._blocks():
                _write(again, block)
            if again.digest() != digest.digest():
                raise ValueError(
                    "The tf.data.Dataset of translation pairs gave other pairs, or another order, "
                    "when it was read a second time, so that a run could not be resumed. Leave out "
                    "`shuffle`: every epoch is shuffled anew by the training."
                )

    def pairs(self) -> Iterator[tuple[str, str]]:
        """The (source, target) strings, in order."""
        for block in self._blocks():
            for line in block:
                yield tuple(line.decode("utf-8").split("\t")[:2])

    def _blocks(self) -> Iterator[list[bytes]]:
        options = tf.data.Options()
        options.deterministic = True
        return self.lines.batch(_AT_ONCE).with_options(options).as_numpy_iterator()

    def _checked(self, digest: Any) -> Iterator[list[tuple[str, ...]]]:
        """The pairs in blocks; what `digest` gets of them is the TSV file."""
        number = 0
        for block in self._blocks():
            _write(digest, block)
            rows = []
            for line in block:
                number += 1
                try:
                    columns = tuple(line.decode("utf-8").split("\t"))
                except UnicodeDecodeError as error:
                    raise ValueError(f"Pair {number}: invalid UTF-8 ({error.reason}).") from error
                if not all(map(str.strip, columns)):
                    raise ValueError(f"Pair {number}: {empty_side(columns)}")
                rows.append(columns)
            yield rows

    def _line(self, number: int, pair: Sequence[str]) -> bytes:
        texts = () if isinstance(pair, str) or not hasattr(pair, "__iter__") else tuple(pair)
        if len(texts) != self._columns or not all(isinstance(text, str) for text in texts):
            raise ValueError(
                f"Pair {number}: expected {self._expected('str')}, but got {pair!r:.80}."
            )
        try:
            return "\t".join(to_field(text) for text in texts).encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"Pair {number} (={pair!r:.80}) has no UTF-8 form: {error.reason}."
            ) from error

    def _joined(self, pairs: tf.data.Dataset) -> tf.data.Dataset:
        spec = pairs.element_spec
        fits = isinstance(spec, tuple) and len(spec) == self._columns
        if not fits or not all(
            isinstance(part, tf.TensorSpec)
            and part.dtype == tf.string
            and part.shape.is_compatible_with([])
            for part in spec
        ):
            raise ValueError(
                "Expected a tf.data.Dataset whose elements are tuples of "
                f"{self._expected('string scalars')}, but its element_spec is {spec}. "
                "`map` it to that, and `unbatch` it if it has batches."
            )
        if pairs.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise ValueError(
                "The tf.data.Dataset of translation pairs has no end. Leave out `repeat`: the "
                "training repeats it, and shuffles every epoch anew."
            )

        # To a Preprocessor all white space is the same.
        def join(*texts: tf.Tensor) -> tf.Tensor:
            spaced = [
                tf.strings.regex_replace(tf.ensure_shape(text, []), f"[{SEPARATORS}]", " ")
                for text in texts
            ]
            return tf.strings.join(spaced, "\t")

        return pairs.map(join, tf.data.AUTOTUNE, deterministic=True)

    def _expected(self, what: str) -> str:
        extra = self._columns - 2
        names = "source, target" + (f" and {extra} hard negatives" if extra else "")
        return f"{self._columns} {what} ({names}; `hard_negatives` is {extra})"


def as_rows(pairs: Any, hard_negatives: int = 0) -> PairRows | None:
    """What is no file as PairRows; None for files, and for nothing.

    Args:
        pairs: whatever `labse_tf.read_pairs` takes.
        hard_negatives: how many each pair has.

    Raises:
        ValueError: as of PairRows; or `pairs` has no order, or can be read once only.
    """
    if isinstance(pairs, PairRows):
        return pairs
    if isinstance(pairs, tf.data.Dataset):
        return PairRows(pairs, hard_negatives)
    if isinstance(pairs, str | os.PathLike):
        return None
    if isinstance(pairs, Iterator | Set | Mapping):
        raise ValueError(
            f"The translation pairs are a {type(pairs).__name__}, which cannot be read again and "
            "again in one order. Give a list of them."
        )
    if isinstance(next(iter(pairs), ""), str | os.PathLike):
        return None
    return PairRows(pairs, hard_negatives)


def _write(digest: Any, lines: Sequence[bytes]) -> None:
    digest.update(b"".join(line + b"\n" for line in lines))
