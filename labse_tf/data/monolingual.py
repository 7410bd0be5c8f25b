"""Monolingual text, from text files and sides of translation pairs, in rows without padding."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import tensorflow as tf

from labse_tf.data.gzip_files import check_gzip_end
from labse_tf.data.pair_files import common_container, is_pairs, pair_format, read_columns
from labse_tf.data.pipeline import read_rows, split_rows
from labse_tf.data.regular_files import group_shards, why_no_file
from labse_tf.data.sampling import key_of, sample_rows
from labse_tf.files.lines import STDIN, read_lines
from labse_tf.files.reservoir import Reservoir
from labse_tf.tokenization.preprocessing import Preprocessor

SLACK = 1.05  # text that is drawn for a window of rows, over what fills them on average
_SAMPLE_SIZE = 1000  # Sentences of a stream whose length is measured.
_AT_ONCE = 1024

TEXT, SOURCES, TARGETS = "text", "sources", "targets"


class Stream(NamedTuple):
    """Text that is sampled as one language.

    Attributes:
        kind: lines of text, or the sources or targets of translation pairs.
        files: that hold it.
        count: sentences, empty lines included.
        tokens: the mean of a sentence's word pieces and its [SEP]; 0 of an empty line.
    """

    kind: str
    files: list[str]
    count: int
    tokens: float


def find_streams(files: Sequence[str | os.PathLike], preprocessor: Preprocessor) -> list[Stream]:
    """Reads every file through once, to check, count and measure it.

    Each text and the sources of each file of pairs are a stream; the targets of all of these
    together are one, since they are one language in most collections (`xx-eng.tsv`).

    Args:
        files: texts, a sentence a line, plain or `.gz`; or translation pairs if the name says so
            (`labse_tf.data.pair_files`). Shards of one name are one file.
        preprocessor: what sentences are measured with.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: a file is empty, damaged, or holds invalid UTF-8 or a line that is no pair
            (`file:line:`); or files of pairs differ in format.
    """
    texts, pairs = [], []
    for path in map(os.fspath, files):
        (pairs if is_pairs(path) else texts).append(path)
    if pairs:
        common_container(pairs)
    found, pair_groups = [], group_shards(pairs)
    for kind, groups in (
        (TEXT, group_shards(texts)),
        (SOURCES, pair_groups),
        (TARGETS, [sorted(itertools.chain(*pair_groups))] if pairs else []),
    ):
        for group in groups:
            count, sample = _count_and_sample(group, kind)
            lengths = preprocessor.word_pieces(tf.constant(sample)).row_lengths().numpy()
            if not lengths.any():
                raise ValueError(f"{', '.join(group)!r:.200}: no text was found in it.")
            found.append(Stream(kind, group, count, float((lengths + (lengths > 0)).mean())))
    return found


def read_side(path: str, kind: str) -> Iterator[str]:
    """The sentences of a text, or the sources or targets of a file of pairs."""
    if kind != TEXT:
        return (pair[kind == TARGETS] for pair in read_columns(path))
    if path == STDIN:
        raise ValueError("Standard input can be read only once, but training needs it many times.")
    if unusable := why_no_file(path):
        raise FileNotFoundError(f"There is no text {path!r} to read: it {unusable}.")
    return read_lines(path)


def _count_and_sample(files: list[str], kind: str) -> tuple[int, list[str]]:
    """Return the number of sentences, and a uniform random sample of them."""
    reservoir = Reservoir(_SAMPLE_SIZE)
    for path in files:
        before = reservoir.count
        sentences = read_side(path, kind)
        while block := list(itertools.islice(sentences, _AT_ONCE)):
            reservoir.extend(block)
        if reservoir.count == before:
            raise ValueError(f"The text {path!r} is empty: expected a sentence a line.")
        check_gzip_end(path)
    return reservoir.count, reservoir.items


def read_full_rows(
    streams: list[Stream],
    preprocessor: Preprocessor,
    rows: int,
    context: tf.distribute.InputContext,
    *,
    exponent: float,
    seed: int,
    shuffle_buffer: int,
    windows_skipped: int,
) -> tf.data.Dataset:
    """Endless windows of rows of text without padding, nearly every row of one language.

    For each window, sentences are drawn until they fill its rows on average, and 5% more (SLACK).
    Their word pieces, a [SEP] after each sentence and the sentences of a stream together, form a
    ring. From a random position the ring is cut into rows of `seq_length` - 2 tokens; what remains
    is dropped, so that every sentence is as likely to be dropped. (A draw that is too short repeats
    its beginning.) The rows come in random order, with [CLS] before and [SEP] after each.

    Example, for 3 rows of `seq_length` 6, | for [SEP]. Drawn were "a b c", "d e" of one stream and
    "x y", "z w v" of another:

        ring                             a b c | d e | x y | z w v |    14 tokens
        3 rows of 4 from position 5      e | x y    | z w v    | a b c    (| d is dropped)
        a row of the result              [CLS] e | x y [SEP]

    All that is random in a window is a function of its number, so that `windows_skipped` windows
    are skipped without tokenizing them.

    Args:
        streams: what to read, see `find_streams`.
        preprocessor: splits the sentences into word pieces, and adds [CLS] and [SEP].
        rows: in a window of this input pipeline.
        context: the pipeline's.
        exponent, seed, shuffle_buffer, windows_skipped: as of `sample_rows`.

    Returns:
        An endless dataset of dicts of int32 [rows, seq_length], as the preprocessor makes them.
    """
    counts = [stream.count for stream in streams]
    kinds = [stream.kind for stream in streams]
    room = preprocessor.seq_length - 2
    shares = [(count / max(counts)) ** exponent for count in counts]
    mean = sum(s * stream.tokens for s, stream in zip(shares, streams)) / sum(shares)
    drawn = math.ceil(SLACK * rows * room / mean)
    containers = {pair_format(s.files[0]).container for s in streams if s.kind != TEXT}
    container = containers.pop() if containers else "tsv"

    def sentences(lines: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        """Those of sorted indices, and so of sorted kinds."""
        parts = []
        for kind in (TEXT, SOURCES, TARGETS):
            of_kind = tf.constant([k == kind for k in kinds])
            part = tf.boolean_mask(lines, tf.gather(of_kind, index))
            parts.append(part if kind == TEXT else split_rows(part, container)[kind == TARGETS])
        return tf.concat(parts, axis=0)

    key = key_of(seed, "rows of text", context.input_pipeline_id)

    def fill_rows(number, elements):
        lines, index = elements
        order = tf.argsort(index, stable=True)
        index = tf.gather(index, order)
        pieces = preprocessor.word_pieces(sentences(tf.gather(lines, order), index))
        pieces = tf.ragged.boolean_mask(pieces, pieces.row_lengths() > 0)
        ends = tf.fill([pieces.nrows(), 1], preprocessor.end_id)
        ring = tf.concat([pieces, ends], axis=1).values
        length = tf.size(ring)
        draw = tf.random.stateless_uniform([rows + 1], [key, number], alg="philox")
        start = tf.cast(draw[0] * tf.cast(length, tf.float32), tf.int32)
        order = tf.argsort(draw[1:])[:, tf.newaxis] * room + tf.range(room)
        text = tf.gather(ring, (start + order) % length)
        return preprocessor.pack([tf.RaggedTensor.from_tensor(text)], preprocessor.seq_length)

    lines = sample_rows(
        [_lines(*stream) for stream in enumerate(streams)],
        counts,
        context,
        exponent=exponent,
        seed=key_of(seed, "monolingual text"),
        shuffle_buffer=shuffle_buffer,
        window_size=drawn,
        windows_skipped=windows_skipped,
    )
    numbers = tf.data.Dataset.counter(windows_skipped)
    return tf.data.Dataset.zip(numbers, lines.batch(drawn, drop_remainder=True)).map(
        fill_rows, tf.data.AUTOTUNE
    )


def _lines(index: int, stream: Stream) -> tf.data.Dataset:
    """Lines or records of a stream, each with the stream's index."""
    if stream.kind == TEXT:
        compression = "GZIP" if stream.files[0].lower().endswith(".gz") else ""
        lines = tf.data.TextLineDataset(stream.files, compression)
    else:
        lines = read_rows(stream.files)
    return tf.data.Dataset.zip(lines, tf.data.Dataset.from_tensors(index).repeat())
