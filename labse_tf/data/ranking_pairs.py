"""read_pairs: files of translation pairs -> batches of token ids, as an endless tf.data.Dataset."""

from __future__ import annotations

import os
from collections.abc import MutableMapping, Sequence

import tensorflow as tf

from labse_tf.data.cut_sentences import CUT_PAIRS, CUT_SENTENCES, warn_of_cut_sentences
from labse_tf.data.pair_files import SAMPLE_SIZE, common_container, scan_pairs
from labse_tf.data.pair_rows import PairRows, Pairs, as_rows
from labse_tf.data.pipeline import (
    WIDTH_MULTIPLE,
    check_least,
    divide_batch,
    in_order,
    read_rows,
    split_rows,
)
from labse_tf.data.regular_files import group_shards
from labse_tf.data.sampling import key_of, sample_rows
from labse_tf.tokenization.preprocessing import Preprocessor

DEFAULT_EXPONENT = 1.0
DEFAULT_SHUFFLE_BUFFER = 100_000
DEFAULT_WINDOW = 16


def read_pairs(
    files: str | os.PathLike | Sequence[str | os.PathLike] | Pairs | PairRows,
    preprocessor: Preprocessor,
    batch_size: int,
    *,
    exponent: float = DEFAULT_EXPONENT,
    seed: int = 0,
    shuffle_buffer: int = DEFAULT_SHUFFLE_BUFFER,
    window: int = DEFAULT_WINDOW,
    hard_negatives: int = 0,
    static_width: bool = False,
    skip: int = 0,
    joined: bool = False,
    figures: MutableMapping[str, float] | None = None,
    input_context: tf.distribute.InputContext | None = None,
) -> tf.data.Dataset:
    """Endless batches of translation pairs for translation ranking (arXiv 2007.01852, section 2).

    Every file is read through once by the call itself, to check and to count it; if sentences of a
    sample are longer than `seq_length`, a warning says how many will be cut. Then:

    - Each next pair comes from a file that is drawn with probability proportional to n**exponent,
      n the file's number of pairs; shards of one name (`x.tfrecord-00000-of-00010`) are one file.
      Within a file each pair comes once an epoch, and every epoch is shuffled anew.
    - `window` batches' worth of pairs is sorted by length and cut into batches, which come in
      random order. So a batch is about as wide as its sentences, with little padding.

    The order depends on `seed`, the files and the arguments alone: it is the same in every process,
    every time that the dataset is iterated, whatever the global seed of `tf.random.set_seed`.

    Args:
        files: TSV or TFRecord, each plain or gzip (see `labse_tf.data.pair_files`), all alike. The
            order in which they are given does not matter. Or the pairs themselves, which are read
            as one plain TSV file of them: a sequence of tuples of strings, or a tf.data.Dataset
            (see `labse_tf.data.pair_rows.PairRows`).
        preprocessor: splits and packs the sentences; cuts those above its `seq_length`.
        batch_size: pairs in a global batch, that is, over all replicas.
        exponent: of the sampling over files. 1 keeps their proportions; below 1 small files come
            more often than their share (the paper smooths its vocabulary with 0.3); 0 makes all
            files equal. But none comes so often that a pair of it would stand twice in a batch.
        seed: of everything random, 0 or more.
        shuffle_buffer: pairs held in memory to draw from, over all files. A file is shuffled
            thoroughly when its share, n**exponent / sum, of the buffer holds all of it.
        window: batches that are sorted together; 1 turns sorting off. At most an epoch's worth is
            used. A pair that comes again in a window stands in another of its batches; where it is
            a single batch, pairs can meet their repetition when a new epoch of a file begins (the
            loss then counts neither as the other's negative).
        hard_negatives: sentences of each pair that are like its target but no translation, see
            `labse_tf.data.pair_files`.
        static_width: whether every batch is `seq_length` wide, as TPUs want it, and not as wide as
            its longest sentence needs.
        skip: global batches that were consumed already: the dataset begins where one that was
            stopped after as many goes on. Takes about the time of one epoch at most.
        joined: whether the two sides of a pair will be one sequence (`read_masked`), which is cut
            where both together are too long.
        figures: gets what the warning says: `cut_sentences`, the share of the sentences that are
            cut, 0 to 1; with `joined` instead `cut_pairs`, that of the pairs.
        input_context: given by `strategy.distribute_datasets_from_function`: makes this the input
            pipeline of one worker, which reads its own part of every file. Without it, elements are
            global batches, which `fit` divides among replicas itself (under
            MultiWorkerMirroredStrategy each worker then prepares all of them: right, but wasteful).

    Returns:
        An endless dataset of (source, target), or with hard negatives (source, target, negatives):
        dicts {input_word_ids, input_mask, input_type_ids} of int32 [batch, width], of negatives
        [batch * hard_negatives, width], those of the first pair first. `batch` is static:
        `batch_size`, or the per-replica batch with `input_context`, whose replicas get consecutive
        elements of equal width. `width` is the longest sentence of all sides with [CLS] and [SEP],
        rounded up to a multiple of 8, at most `seq_length`; static only with `static_width`.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: an argument is out of its range; the files differ in format; a file is empty,
            damaged or holds a line or record that is no pair (`file:line:`); as of PairRows; all
            together hold fewer pairs than a global batch; `batch_size` cannot be divided among the
            replicas.

    Example:
        >>> pairs = read_pairs(["deu-eng.tsv.gz", "jpn-eng.tsv.gz"], preprocessor, 512)
        >>> source, target = next(iter(pairs))
        >>> source["input_word_ids"].shape
        TensorShape([512, 24])
    """
    check_least(1, batch_size=batch_size, shuffle_buffer=shuffle_buffer, window=window)
    check_least(0, exponent=exponent, seed=seed, skip=skip, hard_negatives=hard_negatives)
    context = input_context or tf.distribute.InputContext()
    local_replicas, replica_batch = divide_batch(batch_size, context)
    local_batch = local_replicas * replica_batch

    given = as_rows(files, hard_negatives)
    if given is None:
        rows, scans, container = _read_files(files, hard_negatives)
    else:
        rows, scans, container = [given.lines], [[(given.count, given.sample)]], "tsv"
    counts = [sum(count for count, _ in scan) for scan in scans]
    if sum(counts) < batch_size:
        raise ValueError(
            f"The {'files' if given is None else 'data'} hold {sum(counts)} pairs, fewer than one "
            f"global batch of {batch_size}. Give more, or a smaller `batch_size`."
        )
    cut = warn_of_cut_sentences([part for scan in scans for part in scan], preprocessor, joined)
    if figures is not None:
        figures[CUT_PAIRS if joined else CUT_SENTENCES] = cut
    window = min(window, sum(counts) // batch_size)
    windows_skipped, batches_skipped = divmod(skip, window)

    rows = sample_rows(
        rows,
        counts,
        context,
        exponent=exponent,
        seed=seed,
        shuffle_buffer=shuffle_buffer,
        window_size=window * local_batch,
        windows_skipped=windows_skipped,
        batches=window,
    )
    order_key = key_of(seed, "order of batches")
    sides = 2 + hard_negatives

    def tokenize(number, rows):
        columns = split_rows(rows, container, hard_negatives)
        sentences = preprocessor.with_default_prompt(tf.reshape(columns, [-1]))
        pieces = preprocessor.word_pieces(sentences)
        length = tf.reduce_max(tf.reshape(pieces.row_lengths(), [sides, -1]), axis=0)
        batches = divide_rows(rows, length, window)
        # Not the pipeline's: at every step all workers get sentences of like length.
        order = tf.random.stateless_uniform([window], [order_key, number], alg="philox")
        return tf.gather(batches, tf.argsort(order)), (pieces.values, pieces.row_splits)

    def slices(batches, pieces):
        pieces = tf.data.Dataset.from_tensors(pieces).repeat()
        return tf.data.Dataset.zip(tf.data.Dataset.from_tensor_slices(batches), pieces)

    def pack(batch, pieces):
        pieces = tf.RaggedTensor.from_row_splits(*pieces, validate=False)
        column = tf.range(sides)[:, tf.newaxis] * (window * local_batch)
        pieces = tf.gather(pieces, tf.reshape(column + batch, [-1]))
        width = preprocessor.seq_length
        if not static_width:
            longest = tf.cast(tf.reduce_max(pieces.row_lengths()), tf.int32) + 2
            width = tf.minimum(-(-longest // WIDTH_MULTIPLE) * WIDTH_MULTIPLE, width)
        packed = preprocessor.pack([pieces], width)
        shape = [sides, local_replicas, replica_batch, width]
        packed = {name: tf.reshape(ids, shape) for name, ids in packed.items()}
        elements = [{name: ids[side] for name, ids in packed.items()} for side in (0, 1)]
        if hard_negatives:
            rows = [local_replicas, replica_batch * hard_negatives, width]
            elements.append(
                {
                    name: tf.reshape(tf.transpose(ids[2:], [1, 2, 0, 3]), rows)
                    for name, ids in packed.items()
                }
            )
        return tuple(elements)

    dataset = tf.data.Dataset.zip(
        tf.data.Dataset.counter(windows_skipped),
        rows.batch(window * local_batch, drop_remainder=True),
    )
    dataset = dataset.map(tokenize, tf.data.AUTOTUNE).flat_map(slices).skip(batches_skipped)
    return in_order(dataset.map(pack, tf.data.AUTOTUNE).unbatch(), input_context)


def _read_files(files: str | os.PathLike | Sequence[str | os.PathLike], hard_negatives: int):
    """Of each file, or of shards of one name, a Dataset of rows and the scans; and the format."""
    paths = [files] if isinstance(files, (str, os.PathLike)) else list(files)
    container = common_container(paths)
    groups = group_shards(paths)
    size = max(1, SAMPLE_SIZE // len(paths))
    scans = [[scan_pairs(path, hard_negatives, size) for path in group] for group in groups]
    return [read_rows(group) for group in groups], scans, container


def divide_rows(rows: tf.Tensor, length: tf.Tensor, batches: int) -> tf.Tensor:
    """Divides rows into batches of equal size: like lengths together, equal rows apart.

    Equal rows stand in neighbouring batches, near those of their length; or, where these have no
    room for them, are dealt out to all batches in turn. None has two of them, if there are no more
    of them than batches. The others fill the batches by length.

    Args:
        rows: string [n].
        length: int64 [n].
        batches: which n is a multiple of.

    Returns:
        int32 [batches, n / batches], numbers of rows.
    """
    count = tf.size(rows)
    _, index, counts = tf.unique_with_counts(rows)
    order = tf.argsort(length * tf.cast(count, tf.int64) + tf.cast(index, tf.int64), stable=True)
    is_repeated = tf.gather(counts > 1, tf.gather(index, order))
    alone, repeated = order[~is_repeated], order[is_repeated]
    index = tf.gather(index, repeated)
    place = tf.range(tf.size(repeated))
    begins = tf.concat([index[:1] == index[:1], index[1:] != index[:-1]], axis=0)
    group = tf.cumsum(tf.cast(begins, tf.int32)) - 1
    of_group = place - tf.gather(place[begins], group)
    span = tf.maximum(1, batches + 1 - tf.reduce_max(counts))
    near = group * span // tf.maximum(1, tf.reduce_sum(tf.cast(begins, tf.int32))) + of_group
    near %= batches
    fits = tf.reduce_max(tf.math.bincount(near, minlength=batches)) <= count // batches
    chosen = tf.where(fits, near, place % batches)
    ends = tf.cumsum(count // batches - tf.math.bincount(chosen, minlength=batches))
    filled = tf.searchsorted(ends, tf.range(tf.size(alone)), side="right")
    order = tf.concat([alone, repeated], axis=0)
    batch = tf.concat([filled, chosen], axis=0)
    return tf.reshape(tf.gather(order, tf.argsort(batch, stable=True)), [batches, -1])
