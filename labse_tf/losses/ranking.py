"""Translation ranking: additive-margin softmax over negatives gathered from every replica."""

from __future__ import annotations

import typing
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from labse_tf.encoder.layers import shape_of

DEFAULT_MARGIN = 0.3
DEFAULT_SCALE = 100.0


def gather_across_replicas(x: tf.Tensor) -> tf.Tensor:
    """Concatenates each replica's rows in the order of the replicas; gradients flow back.

    Outside of a strategy, or with one replica, x itself. The gradient of the result with respect
    to a replica's rows is the sum over all replicas: every replica's loss depends on every row.

    Args:
        x: [rows, ...], of the same shape on every replica.

    Returns:
        [replicas * rows, ...], the same on every replica.

    Raises:
        RuntimeError: called in cross-replica context, that is, not inside `strategy.run`.
    """
    replica = tf.distribute.get_replica_context()
    if replica is None:
        raise RuntimeError(
            "gather_across_replicas was called in cross-replica context; call it inside "
            "`strategy.run` (as `fit` does)."
        )
    if replica.num_replicas_in_sync == 1:
        return x
    gathered = replica.all_gather(x, axis=0)
    if x.shape[0] is not None:  # all_gather forgets what is static; XLA and the labels need it
        gathered = tf.ensure_shape(
            gathered, [replica.num_replicas_in_sync * x.shape[0], *x.shape[1:]]
        )
    return gathered


def token_fingerprint(word_ids: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """A 64-bit hash of each row of token ids, whatever its padding: equal rows, equal hashes.

    Two polynomial hashes modulo 2**32 with random odd multipliers. Different sentences agree with
    probability near 2**-64. Only int32 arithmetic that wraps around, which TPUs have.

    Args:
        word_ids: int32 [batch, width], width at most 1024.
        mask: int32 [batch, width].

    Returns:
        int32 [batch, 2].
    """
    multipliers = np.random.default_rng(2007_01852).integers(2**31, size=[1024, 2]) * 2 + 1
    multipliers = tf.constant(multipliers.astype(np.uint32).view(np.int32))
    multipliers = multipliers[: tf.shape(word_ids)[1]]
    terms = ((word_ids + 1) * mask)[:, :, tf.newaxis] * multipliers[tf.newaxis]
    return tf.reduce_sum(terms, axis=1)


class Rows(typing.NamedTuple):
    """Embeddings of pairs, and of hard negatives, with fingerprints of their sentences.

    Attributes:
        source, target: float32 [pairs, dim], unit rows.
        negative: float32 [pairs * negatives of a pair, dim], unit rows; or None.
        prints: int32 [n, 2] for each of the three that is there, `token_fingerprint`s; or ().
    """

    source: tf.Tensor
    target: tf.Tensor
    negative: tf.Tensor | None
    prints: tuple[tf.Tensor, ...]

    def gathered(self) -> Rows:
        """Everybody's. Each kind apart: a replica's targets do not stand beside its negatives."""
        return Rows(
            gather_across_replicas(self.source),
            gather_across_replicas(self.target),
            None if self.negative is None else gather_across_replicas(self.negative),
            tuple(map(gather_across_replicas, self.prints)),
        )


class AdditiveMarginRankingLoss:
    """Bidirectional additive-margin softmax (arXiv 1902.08564; 2007.01852, section 2.2).

    With cosine phi, margin m, scale s and the N pairs of the global batch,

        L = -1/N sum_i log( e^{s(phi(x_i,y_i)-m)}
                            / ( e^{s(phi(x_i,y_i)-m)} + sum_{n != i} e^{s phi(x_i,y_n)} ) ),

    plus the same from y to x. Hard negatives are more y_n of the first sum, each pair's own and
    everybody's. Each replica scores its own rows against everybody's columns, [local, global], and
    returns its own rows' sum divided by the **global** batch: the optimizer sums gradients over
    replicas, and so do the contributions add up to L.

    Args:
        margin: m, subtracted from the cosine of a pair. LaBSE: 0.3.
        scale: s, the inverse temperature. Model Garden's value for LaBSE: 100.
        bidirectional: whether to add the loss from target to source.
        mask_duplicates: whether the pairs whose source or target is the same as pair i's, and hard
            negatives that are the same as its target, are left out of pair i's negatives. Corpora
            repeat sentences; those are no negatives.

    Raises:
        ValueError: `margin` is negative or `scale` is not above 0.
    """

    def __init__(
        self,
        margin: float = DEFAULT_MARGIN,
        scale: float = DEFAULT_SCALE,
        bidirectional: bool = True,
        mask_duplicates: bool = True,
    ):
        if not margin >= 0:
            raise ValueError(f"`margin` (={margin}) must be at least 0.")
        if not scale > 0:
            raise ValueError(f"`scale` (={scale}) must be above 0.")
        self.margin = margin
        self.scale = scale
        self.bidirectional = bidirectional
        self.mask_duplicates = mask_duplicates

    def __call__(
        self,
        source: tf.Tensor,
        target: tf.Tensor,
        source_fingerprint: tf.Tensor | None = None,
        target_fingerprint: tf.Tensor | None = None,
        negative: tf.Tensor | None = None,
        negative_fingerprint: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The replica's share of the global loss.

        Args:
            source, target: embeddings, [local batch, dim], of any length; row i of one belongs to
                row i of the other. The same shape on every replica.
            source_fingerprint, target_fingerprint: `token_fingerprint` of the sentences, int32
                [local batch, 2]. Needed when `mask_duplicates`.
            negative: embeddings of hard negatives of the sources, any number of rows, of any
                length; the same shape on every replica.
            negative_fingerprint: of them, [rows, 2].

        Returns:
            Two float32 scalars: the loss, to be summed over replicas, and the mean number of
            negatives that a local pair's source was ranked against.

        Raises:
            ValueError: the shapes disagree, or a fingerprint is missing.
        """
        prints = (source_fingerprint, target_fingerprint, negative_fingerprint)
        rows = self.rows(source, target, negative, prints)
        loss, negatives = self.of_block(rows, rows.gathered(), 0)
        local = tf.cast(shape_of(source)[0], tf.float32)
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        return loss / (local * replicas), negatives / local

    def rows(
        self,
        source: tf.Tensor,
        target: tf.Tensor,
        negative: tf.Tensor | None,
        prints: Sequence[tf.Tensor | None],
    ) -> Rows:
        """The replica's rows, of unit length; for arguments and errors see the call."""
        if not source.shape.is_compatible_with(target.shape):
            raise ValueError(
                f"Sources and targets must be of one shape, but are {source.shape} and "
                f"{target.shape}."
            )
        embeddings = [source, target] + ([] if negative is None else [negative])
        if self.mask_duplicates:
            prints = tuple(prints[: len(embeddings)])
            if any(p is None for p in prints):
                raise ValueError(
                    "`mask_duplicates` needs the fingerprints of all sentences (token_fingerprint)."
                )
        else:
            prints = ()
        unit = [tf.math.l2_normalize(tf.cast(x, tf.float32), axis=1) for x in embeddings]
        return Rows(unit[0], unit[1], None if negative is None else unit[2], prints)

    def of_block(
        self, block: Rows, columns: Rows, first: int | tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The sum of the losses of some of a replica's pairs, and of their numbers of negatives.

        Args:
            block: sources, targets and their fingerprints of the pairs.
            columns: everybody's, as `Rows.gathered` gives them.
            first: the replica's pairs before the block.
        """
        rows, total = shape_of(block.source)[0], shape_of(columns.source)[0]
        replica = tf.distribute.get_replica_context()
        local = total // replica.num_replicas_in_sync
        labels = replica.replica_id_in_sync_group * local + first + tf.range(rows)
        own = tf.one_hot(labels, total, on_value=True, off_value=False, dtype=tf.bool)
        candidates = tf.ones_like(own)
        targets, extra = columns.target, None
        if self.mask_duplicates:
            same = _equal_rows(block.prints[0], columns.prints[0])
            same |= _equal_rows(block.prints[1], columns.prints[1])
            candidates = own | ~same
        if columns.negative is not None:
            targets = tf.concat([targets, columns.negative], axis=0)
            extra = tf.ones([rows, shape_of(columns.negative)[0]], tf.bool)
            if self.mask_duplicates:
                extra = ~_equal_rows(block.prints[1], columns.prints[2])
        loss, negatives = self._direction(block.source, targets, labels, own, candidates, extra)
        if self.bidirectional:
            back, _ = self._direction(block.target, columns.source, labels, own, candidates, None)
            loss += back
        return loss, negatives

    def _direction(self, rows, columns, labels, own, candidates, extra):
        """The rows' cross entropies of finding their own column, summed; their negatives."""
        if extra is not None:
            own = tf.concat([own, tf.zeros_like(extra)], axis=1)
            candidates = tf.concat([candidates, extra], axis=1)
        cosine = tf.matmul(rows, columns, transpose_b=True)
        logits = self.scale * tf.where(own, cosine - self.margin, cosine)
        logits = tf.where(candidates, logits, -1e9)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        negatives = tf.reduce_sum(tf.cast(candidates & ~own, tf.float32))
        return tf.reduce_sum(losses), negatives


def _equal_rows(rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """bool [rows, columns]: whether a row's fingerprint is that of a column."""
    first, second = (rows[:, i, tf.newaxis] == columns[tf.newaxis, :, i] for i in (0, 1))
    return first & second
