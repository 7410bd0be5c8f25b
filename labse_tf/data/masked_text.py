"""read_masked: text and translation pairs -> masked batches, as an endless tf.data.Dataset."""

from __future__ import annotations

import os
from collections.abc import MutableMapping, Sequence

import tensorflow as tf

from labse_tf.data.masking import Masking
from labse_tf.data.monolingual import find_streams, read_full_rows
from labse_tf.data.pipeline import WIDTH_MULTIPLE, check_least, divide_batch, in_order
from labse_tf.data.ranking_pairs import (
    DEFAULT_EXPONENT,
    DEFAULT_SHUFFLE_BUFFER,
    DEFAULT_WINDOW,
    read_pairs,
)
from labse_tf.data.sampling import key_of
from labse_tf.tokenization.preprocessing import Preprocessor

DEFAULT_TLM_SHARE = 0.5
TokenIds = dict[str, tf.Tensor]  # input_word_ids, input_mask, input_type_ids, and more


def read_masked(
    text: Sequence[str | os.PathLike],
    pairs: Sequence[str | os.PathLike],
    preprocessor: Preprocessor,
    masking: Masking,
    batch_size: int,
    *,
    tlm_share: float = DEFAULT_TLM_SHARE,
    exponent: float = DEFAULT_EXPONENT,
    seed: int = 0,
    shuffle_buffer: int = DEFAULT_SHUFFLE_BUFFER,
    window: int = DEFAULT_WINDOW,
    static_width: bool = False,
    skip: int = 0,
    figures: MutableMapping[str, float] | None = None,
    input_context: tf.distribute.InputContext | None = None,
) -> tf.data.Dataset:
    """Batches for masked and translation language modelling (arXiv 2007.01852, section 2.3).

    Every file is read through once by the call itself, to check and to count it. Every batch has
    the same number of two kinds of sequences, both without language codes, as in the paper:

    - MLM: `[CLS] sentence [SEP] sentence [SEP] ... [SEP]`, type 0, without padding and nearly
      always of one language (see `labse_tf.data.monolingual.read_full_rows`). Neighbouring
      sentences are unrelated, which is why there is a [SEP] between them.
    - TLM: `[CLS] source [SEP] target [SEP]`, types 0 and 1, padded; what does not fit is cut, and a
      warning says of how many pairs.

    The order and the masks depend on `seed`, the files and the arguments alone: they are the same
    in every process, every time that the dataset is iterated, whatever the global seed of
    `tf.random.set_seed`. A sentence that comes again is masked anew.

    Args:
        text: for MLM: texts, a sentence a line, plain or `.gz`; or files of translation pairs,
            whose sources are a language each and whose targets are one together. One file a
            language samples best. The order in which files are given does not matter.
        pairs: for TLM: files of translation pairs, see `read_pairs`.
        preprocessor: splits and packs; `seq_length` is the width of a full row.
        masking: masks.
        batch_size: sequences in a global batch, that is, over all replicas.
        tlm_share: of every replica's batch, rounded to whole sequences; the rest is MLM. With 0
            `pairs` are not read, with 1 `text` is not.
        exponent: of the sampling over languages of `text`, and over files of `pairs`: one with n
            sentences is drawn from in proportion to n**exponent.
        seed: of everything random, 0 or more.
        shuffle_buffer: lines held in memory to draw from, for each of `text` and `pairs`.
        window: batches whose rows are cut from one draw of text, and whose pairs are sorted by
            length together.
        static_width: whether batches of TLM alone are `seq_length` wide, as TPUs want it, and not
            as wide as their longest pair needs; those with MLM always are.
        skip: global batches that were consumed already: the dataset begins where one that was
            stopped after as many goes on. Takes about the time of one epoch at most.
        figures: gets `cut_pairs`, the share of the pairs for TLM that are cut, 0 to 1.
        input_context: given by `strategy.distribute_datasets_from_function`: makes this the input
            pipeline of one worker, as of `read_pairs`.

    Returns:
        An endless dataset of dicts, see `Masking`. The batch is static: `batch_size`, or the
        per-replica batch with `input_context`, whose replicas get consecutive elements.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: an argument is out of its range; files are missing that `tlm_share` asks for,
            are bad, or hold too little; `batch_size` cannot be divided among the replicas.

    Example:
        >>> files = ["deu-eng.tsv.gz", "jpn-eng.tsv.gz"]
        >>> masking = Masking(preprocessor)
        >>> batch = next(iter(read_masked(files, files, preprocessor, masking, 64)))
        >>> batch["input_word_ids"].shape, batch["masked_lm_ids"].shape
        (TensorShape([64, 128]), TensorShape([64, 19]))
    """
    check_least(1, batch_size=batch_size, shuffle_buffer=shuffle_buffer, window=window)
    check_least(0, exponent=exponent, seed=seed, skip=skip)
    if not 0 <= tlm_share <= 1:
        raise ValueError(f"`tlm_share` (={tlm_share}) must be from 0 to 1.")
    context = input_context or tf.distribute.InputContext()
    local_replicas, replica_batch = divide_batch(batch_size, context)
    tlm = _rows_of_share(tlm_share, replica_batch)
    for name, files, needed in (("text", text, tlm < replica_batch), ("pairs", pairs, tlm)):
        if needed and not files:
            raise ValueError(f"`tlm_share` (={tlm_share}) needs files of `{name}`; there are none.")

    options = dict(exponent=exponent, shuffle_buffer=shuffle_buffer)
    parts = []
    if mlm := replica_batch - tlm:
        windows_skipped, batches_skipped = divmod(skip, window)
        streams = find_streams(text, preprocessor)
        if (sentences := sum(s.count for s in streams)) < context.num_input_pipelines:
            raise ValueError(
                f"The text has {sentences} sentences, fewer than there are workers "
                f"(={context.num_input_pipelines})."
            )
        full_rows = read_full_rows(
            streams,
            preprocessor,
            window * local_replicas * mlm,
            context,
            seed=seed,
            windows_skipped=windows_skipped,
            **options,
        )
        full_rows = full_rows.unbatch().batch(mlm, drop_remainder=True, num_parallel_calls=1)
        parts.append(full_rows.skip(batches_skipped * local_replicas))
    if tlm:
        two_sides = read_pairs(
            pairs,
            preprocessor,
            tlm * context.num_replicas_in_sync,
            seed=seed,
            window=window,
            skip=skip,
            joined=True,
            figures=figures,
            input_context=input_context,
            **options,
        )
        width = preprocessor.seq_length if mlm or static_width else None
        parts.append(
            two_sides.map(lambda *sides: join_sides(sides, preprocessor, width), tf.data.AUTOTUNE)
        )

    key = key_of(seed, "masks", context.input_pipeline_id)

    def mask(number: tf.Tensor, *parts: TokenIds) -> TokenIds:
        batch = {name: tf.concat([part[name] for part in parts], axis=0) for name in parts[0]}
        return masking(batch, tf.stack([key, number]))

    numbers = tf.data.Dataset.counter(skip * local_replicas)
    dataset = tf.data.Dataset.zip(numbers, *parts).map(mask, tf.data.AUTOTUNE)
    return in_order(dataset, input_context)


def _rows_of_share(tlm_share: float, replica_batch: int) -> int:
    tlm = round(tlm_share * replica_batch)
    if (tlm == 0) != (tlm_share == 0) or (tlm == replica_batch) != (tlm_share == 1):
        raise ValueError(
            f"`tlm_share` (={tlm_share}) of a replica's {replica_batch} sequences is {tlm} when "
            "rounded, so that one of the two kinds would be lost. Choose another share or a larger "
            "batch."
        )
    return tlm


def join_sides(
    sides: Sequence[TokenIds], preprocessor: Preprocessor, width: int | None
) -> TokenIds:
    """Packs the sources and the targets of pairs into one sequence per pair.

    Args:
        sides: two dicts of int32 [batch, widths], as of `read_pairs`.
        preprocessor: packs.
        width: of the result. None: what the longest pair needs, rounded up to a multiple of 8.
    """
    segments = []
    for side in sides:
        lengths = tf.reduce_sum(side["input_mask"], axis=1) - 2
        pieces = side["input_word_ids"][:, 1:]
        segments.append(tf.RaggedTensor.from_tensor(pieces, tf.cast(lengths, tf.int64)))
    if width is None:
        longest = tf.reduce_max(segments[0].row_lengths() + segments[1].row_lengths()) + 3
        longest = -(-tf.cast(longest, tf.int32) // WIDTH_MULTIPLE) * WIDTH_MULTIPLE
        width = tf.minimum(longest, preprocessor.seq_length)
    packed = preprocessor.pack(segments, width)
    batch = sides[0]["input_mask"].shape[0]
    return {name: tf.ensure_shape(x, [batch, None]) for name, x in packed.items()}
