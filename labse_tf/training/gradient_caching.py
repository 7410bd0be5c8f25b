"""Gradient caching: a global batch of any size in the memory of a chunk (arXiv 2101.06983).

The loss needs all embeddings at once, but not all activations. So everything is embedded without
keeping any; the loss is differentiated with respect to the embeddings; and everything is embedded
once more, chunk by chunk, each with the gradient of its embeddings. Dropout is the same both times,
and the same as without chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from labse_tf.encoder.layers import shape_of
from labse_tf.losses.gathering import PairEmbeddings
from labse_tf.losses.ranking import AdditiveMarginRankingLoss

Side = Mapping[str, tf.Tensor]
Embed = Callable[[Side, tf.Tensor, tf.Tensor, bool], tf.Tensor]


def cached_gradients(
    embed: Embed,
    loss: AdditiveMarginRankingLoss,
    sides: Sequence[Side],
    fingerprints: Sequence[tf.Tensor],
    dropout: Sequence[tuple[tf.Tensor, tf.Tensor]],
    variables: Sequence[tf.Variable],
    chunk_size: int,
    table: tf.Variable | None = None,
    loss_scale: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor | tf.IndexedSlices | None]]:
    """A replica's share of the global loss, and its gradients, in chunks.

    Args:
        embed: (a chunk of a side, seed, number of its first row, whether gradients follow) ->
            embeddings, [chunk, dim].
        loss: ranks them.
        sides: sources, targets and perhaps hard negatives: dicts of int32 [n, width].
        fingerprints: of the sides, by `token_fingerprint`; or ().
        dropout: of each side the seed, int32 [2], and the number of its first row in the global
            batch.
        variables: to differentiate with respect to.
        chunk_size: most rows embedded at a time, and pairs ranked at a time. Chunks are of equal
            size; where a side cannot be divided, its last row is repeated and does not count.
        table: the one of `variables` whose gradient is to be of the rows that occur alone.
        loss_scale: float32 scalar that the gradients are multiplied by, before the encoder computes
            any in float16; None: 1.

    Returns:
        The loss, to be summed over replicas, the mean number of negatives, and the gradients of
        the loss; that of `table` as IndexedSlices whose rows are distinct.
    """
    chunked = [_Chunks(side, chunk_size) for side in sides]
    embeddings = [_embed_all(embed, chunks, *d) for chunks, d in zip(chunked, dropout, strict=True)]
    value, negatives, cotangents = _rank(loss, embeddings, fingerprints, chunk_size)
    if loss_scale is not None:
        cotangents = [g * loss_scale for g in cotangents]
    sums = [_RowSum(v, sides) if v is table else _Sum(v) for v in variables]
    totals = [s.zero for s in sums]
    for chunks, (seed, first), cotangent in zip(chunked, dropout, cotangents, strict=True):
        cotangent = chunks.divided(cotangent)

        def add(number, *totals, chunks=chunks, seed=seed, first=first, cotangent=cotangent):
            with tf.GradientTape() as tape:
                rows = embed(chunks[number], seed, first + number * chunks.size, True)
            gradients = tape.gradient(rows, variables, cotangent[number])
            added = [s.add(x, g) for s, x, g in zip(sums, totals, gradients, strict=True)]
            return (number + 1, *added)

        _, *totals = tf.while_loop(
            lambda number, *_, count=chunks.count: number < count,
            add,
            (0, *totals),
            parallel_iterations=1,
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
    blocks = _Chunks(
        {str(i): x for i, x in enumerate([rows.source, rows.target, *rows.fingerprints[:2]])},
        block_size,
    )

    def rank(number, value, negatives, of_rows, *of_all):
        x, y, *block_fingerprints = blocks[number].values()
        with tf.GradientTape() as block_tape:
            block_tape.watch([x, y, *of_columns])
            block = PairEmbeddings(x, y, None, tuple(block_fingerprints))
            block_value, block_negatives = loss.block_loss(block, columns, number * blocks.size)
        gradients = block_tape.gradient(
            block_value, [x, y, *of_columns], unconnected_gradients="zero"
        )
        of_rows = of_rows.write(number, tf.stack(gradients[:2]))
        of_all = [total + g for total, g in zip(of_all, gradients[2:], strict=True)]
        return (number + 1, value + block_value, negatives + block_negatives, of_rows, *of_all)

    of_rows = tf.TensorArray(tf.float32, blocks.count, element_shape=[2, blocks.size, dim])
    _, value, negatives, of_rows, *of_all = tf.while_loop(
        lambda number, *_: number < blocks.count,
        rank,
        (0, 0.0, 0.0, of_rows, *map(tf.zeros_like, of_columns)),
        parallel_iterations=1,
    )
    of_rows = tf.transpose(of_rows.stack(), [1, 0, 2, 3])
    of_rows = tf.reshape(of_rows, [2, blocks.count * blocks.size, dim])[:, :local]
    cotangents = [g / pairs for g in (*tf.unstack(of_rows), *of_all)]
    gradients = tape.gradient([rows.source, rows.target, *of_columns], embeddings, cotangents)
    return value / pairs, negatives / tf.cast(local, tf.float32), gradients


def _embed_all(
    embed: Embed, chunks: _Chunks, seed: tf.Tensor, first_row: int | tf.Tensor
) -> tf.Tensor:
    rows = tf.map_fn(
        lambda number: embed(chunks[number], seed, first_row + number * chunks.size, False),
        tf.range(chunks.count),
        fn_output_signature=tf.float32,
        parallel_iterations=1,
    )
    return tf.reshape(rows, [chunks.count * chunks.size, rows.shape[2]])[: chunks.rows]


class _Chunks:
    """Tensors of equally many rows, divided into chunks of equal size.

    13 rows in chunks of at most 5 are 3 chunks of 5, whose last two rows are copies of row 12; 12
    rows are 3 chunks of 4.

    Attributes:
        rows: number of them.
        count: number of chunks.
        size: rows of a chunk, an int.
    """

    def __init__(self, tensors: Side, most: int):
        self.rows = shape_of(next(iter(tensors.values())))[0]
        self.count = (self.rows + most - 1) // most
        static = isinstance(self.rows, int)
        self.size = -(-self.rows // self.count) if static else most
        if not static or self.count * self.size > self.rows:
            indices = tf.minimum(tf.range(self.count * self.size), self.rows - 1)
            tensors = {name: tf.gather(x, indices) for name, x in tensors.items()}
        self._tensors = {name: self._reshaped(x) for name, x in tensors.items()}

    def __getitem__(self, number: tf.Tensor) -> dict[str, tf.Tensor]:
        return {name: x[number] for name, x in self._tensors.items()}

    def divided(self, x: tf.Tensor) -> tf.Tensor:
        """[rows, ...] -> [count, size, ...], with zeros for the rows that do not count."""
        missing = self.count * self.size - self.rows
        return self._reshaped(tf.pad(x, [[0, missing], *[[0, 0]] * (x.shape.rank - 1)]))

    def _reshaped(self, x: tf.Tensor) -> tf.Tensor:
        return tf.reshape(x, [self.count, self.size, *shape_of(x)[1:]])
