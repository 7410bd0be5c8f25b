"""Gradient caching: a global batch of any size in the memory of a chunk (arXiv 2101.06983).

The loss needs all embeddings at once, but not all activations. So everything is embedded without
keeping any; the loss is differentiated with respect to the embeddings; and everything is embedded
once more, chunk by chunk, each with the gradient of its embeddings. Dropout is the same both times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from labse_tf.encoder.layers import shape_of
from labse_tf.losses.gathering import PairEmbeddings
from labse_tf.losses.ranking import AdditiveMarginRankingLoss

Side = Mapping[str, tf.Tensor]
Embed = Callable[[Side, tf.Tensor, bool], tf.Tensor]


def cached_gradients(
    embed: Embed,
    loss: AdditiveMarginRankingLoss,
    sides: Sequence[Side],
    fingerprints: Sequence[tf.Tensor],
    seeds: Sequence[tf.Tensor],
    variables: Sequence[tf.Variable],
    chunk_size: int,
    table: tf.Variable | None = None,
) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor | tf.IndexedSlices | None]]:
    """A replica's share of the global loss, and its gradients, in chunks.

    Args:
        embed: (a chunk of a side, seed, whether gradients follow) -> embeddings, [chunk, dim].
        loss: ranks them.
        sides: sources, targets and perhaps hard negatives: dicts of int32 [n, width].
        fingerprints: of the sides, by `token_fingerprint`; or ().
        seeds: the sides' seeds of dropout, int32 [2]; a chunk's is folded with its number.
        variables: to differentiate with respect to.
        chunk_size: rows embedded at a time, and pairs ranked at a time.
        table: the one of `variables` whose gradient is to be of the rows that occur alone.

    Returns:
        The loss, to be summed over replicas, the mean number of negatives, and the gradients of
        the loss; that of `table` as IndexedSlices whose rows are distinct.

    Raises:
        ValueError: a side cannot be divided into chunks.
    """
    chunked = [_in_chunks(side, chunk_size) for side in sides]
    embeddings = [
        _embed_all(embed, chunks, seed) for chunks, seed in zip(chunked, seeds, strict=True)
    ]
    value, negatives, cotangents = _rank(loss, embeddings, fingerprints, chunk_size)
    sums = [_RowSum(v, sides) if v is table else _Sum(v) for v in variables]
    totals = [s.zero for s in sums]
    for chunks, seed, cotangent in zip(chunked, seeds, cotangents, strict=True):
        cotangent = tf.reshape(cotangent, [-1, chunk_size, cotangent.shape[1]])

        def add(number, *totals, chunks=chunks, seed=seed, cotangent=cotangent):
            with tf.GradientTape() as tape:
                rows = embed(_chunk(chunks, number), _fold(seed, number), True)
            gradients = tape.gradient(rows, variables, cotangent[number])
            added = [s.add(x, g) for s, x, g in zip(sums, totals, gradients, strict=True)]
            return (number + 1, *added)

        count = shape_of(cotangent)[0]
        _, *totals = tf.while_loop(
            lambda number, *_, count=count: number < count, add, (0, *totals), parallel_iterations=1
        )
    return value, negatives, [s.gradient(x) for s, x in zip(sums, totals, strict=True)]


class _Sum:
    """The sum of a variable's gradients."""

    def __init__(self, variable: tf.Variable):
        self.zero = tf.zeros(variable.shape)

    def add(self, total: tf.Tensor, gradient: tf.Tensor | tf.IndexedSlices | None) -> tf.Tensor:
        return total if gradient is None else total + tf.convert_to_tensor(gradient)

    def gradient(self, total: tf.Tensor) -> tf.Tensor:
        return total


class _RowSum:
    """The sum of a table's gradients, over the rows that occur in the batch."""

    def __init__(self, table: tf.Variable, sides: Sequence[Side]):
        ids = tf.concat([tf.reshape(side["input_word_ids"], [-1]) for side in sides], axis=0)
        self._rows = tf.sort(tf.unique(ids)[0])
        self._shape = tf.constant(table.shape.as_list())
        self.zero = tf.zeros([tf.size(self._rows), table.shape[1]])

    def add(self, total: tf.Tensor, gradient: tf.IndexedSlices) -> tf.Tensor:
        indices = tf.cast(gradient.indices, self._rows.dtype)
        places = tf.searchsorted(self._rows, indices)
        return total + tf.math.unsorted_segment_sum(gradient.values, places, tf.size(self._rows))

    def gradient(self, total: tf.Tensor) -> tf.IndexedSlices:
        return tf.IndexedSlices(total, self._rows, self._shape)


def _rank(
    loss: AdditiveMarginRankingLoss,
    embeddings: Sequence[tf.Tensor],
    fingerprints: Sequence[tf.Tensor],
    block_size: int,
) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
    """The loss, the mean number of negatives, and the gradients of the embeddings.

    Computed in blocks of the replica's pairs, so that no more than [block, global] scores are held.
    A local row enters the loss twice: as a row of its own block, and, all-gathered, as a column of
    every block. So an inner tape differentiates each block with respect to its rows, whose
    gradients are written to their places, and to all columns, whose gradients are summed. The outer
    tape has recorded normalisation and all-gather, and takes both back to the embeddings: through
    the all-gather, by a sum over the replicas.

    Example: 2 replicas of 4 pairs in blocks of 2 have 8 global pairs. On each replica 2 blocks of
    scores [2, 8] give gradients of rows, [2, 2, 2, dim] (block, side, pair), and of source and
    target columns, [8, dim] each, of which 4 belong to the other replica.
    """
    source, target, *negative = embeddings
    local, dim = shape_of(source)
    pairs = tf.cast(local * tf.distribute.get_replica_context().num_replicas_in_sync, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        rows = loss.normalise(source, target, negative[0] if negative else None, fingerprints)
        columns = rows.all_gathered()
    of_columns = [columns.source, columns.target] + ([columns.negative] if negative else [])
    blocks = _in_chunks(
        {str(i): x for i, x in enumerate([rows.source, rows.target, *rows.fingerprints[:2]])},
        block_size,
    )

    def rank(number, value, negatives, of_rows, *of_all):
        x, y, *block_fingerprints = _chunk(blocks, number).values()
        with tf.GradientTape() as block_tape:
            block_tape.watch([x, y, *of_columns])
            block = PairEmbeddings(x, y, None, tuple(block_fingerprints))
            block_value, block_negatives = loss.block_loss(block, columns, number * block_size)
        gradients = block_tape.gradient(
            block_value, [x, y, *of_columns], unconnected_gradients="zero"
        )
        of_rows = of_rows.write(number, tf.stack(gradients[:2]))
        of_all = [total + g for total, g in zip(of_all, gradients[2:], strict=True)]
        return (number + 1, value + block_value, negatives + block_negatives, of_rows, *of_all)

    count = shape_of(blocks["0"])[0]
    of_rows = tf.TensorArray(tf.float32, count, element_shape=[2, block_size, dim])
    _, value, negatives, of_rows, *of_all = tf.while_loop(
        lambda number, *_: number < count,
        rank,
        (0, 0.0, 0.0, of_rows, *map(tf.zeros_like, of_columns)),
        parallel_iterations=1,
    )
    of_rows = tf.reshape(tf.transpose(of_rows.stack(), [1, 0, 2, 3]), [2, local, dim])
    cotangents = [g / pairs for g in (*tf.unstack(of_rows), *of_all)]
    gradients = tape.gradient([rows.source, rows.target, *of_columns], embeddings, cotangents)
    return value / pairs, negatives / tf.cast(local, tf.float32), gradients


def _embed_all(embed: Embed, chunks: Side, seed: tf.Tensor) -> tf.Tensor:
    count = shape_of(chunks["input_word_ids"])[0]
    rows = tf.map_fn(
        lambda number: embed(_chunk(chunks, number), _fold(seed, number), False),
        tf.range(count),
        fn_output_signature=tf.float32,
        parallel_iterations=1,
    )
    return tf.reshape(rows, [-1, rows.shape[2]])


def _in_chunks(side: Side, size: int) -> dict[str, tf.Tensor]:
    """[n, ...] -> [n / size, size, ...]."""
    for x in side.values():
        if x.shape[0] is not None and x.shape[0] % size:
            raise ValueError(
                f"A replica's {x.shape[0]} rows cannot be divided into chunks of {size}."
            )
    return {name: tf.reshape(x, [-1, size, *shape_of(x)[1:]]) for name, x in side.items()}


def _chunk(chunks: Side, number: tf.Tensor) -> dict[str, tf.Tensor]:
    return {name: x[number] for name, x in chunks.items()}


def _fold(seed: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    return tf.random.experimental.stateless_fold_in(seed, number)
