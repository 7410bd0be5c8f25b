"""Translation ranking: additive-margin softmax over negatives gathered from every replica."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

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


class AdditiveMarginRankingLoss:
    """Bidirectional additive-margin softmax (arXiv 1902.08564; 2007.01852, section 2.2).

    With cosine phi, margin m, scale s and the N pairs of the global batch,

        L = -1/N sum_i log( e^{s(phi(x_i,y_i)-m)}
                            / ( e^{s(phi(x_i,y_i)-m)} + sum_{n != i} e^{s phi(x_i,y_n)} ) ),

    plus the same from y to x. Each replica scores its own rows against everybody's columns,
    [local, global], and returns its own rows' sum divided by the **global** batch: the optimizer
    sums gradients over replicas, and so do the contributions add up to L.

    Args:
        margin: m, subtracted from the cosine of a pair. LaBSE: 0.3.
        scale: s, the inverse temperature. Model Garden's value for LaBSE: 100.
        bidirectional: whether to add the loss from target to source.
        mask_duplicates: whether the pairs whose source or target is the same as pair i's are left
            out of pair i's negatives. Corpora repeat sentences; those are no negatives.

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
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The replica's share of the global loss.

        Args:
            source, target: embeddings, [local batch, dim], of any length; row i of one belongs to
                row i of the other. The same shape on every replica.
            source_fingerprint, target_fingerprint: `token_fingerprint` of the sentences, int32
                [local batch, 2]. Needed when `mask_duplicates`.

        Returns:
            Two float32 scalars: the loss, to be summed over replicas, and the mean number of
            negatives that a local pair was ranked against.

        Raises:
            ValueError: the shapes disagree, or a fingerprint is missing.
        """
        if not source.shape.is_compatible_with(target.shape):
            raise ValueError(
                f"Sources and targets must be of one shape, but are {source.shape} and "
                f"{target.shape}."
            )
        source, target = (
            tf.math.l2_normalize(tf.cast(x, tf.float32), axis=1) for x in (source, target)
        )
        all_source, all_target = gather_across_replicas(source), gather_across_replicas(target)
        replica = tf.distribute.get_replica_context()
        local = source.shape[0] or tf.shape(source)[0]
        total = local * replica.num_replicas_in_sync
        labels = replica.replica_id_in_sync_group * local + tf.range(local)
        own = tf.one_hot(labels, total, on_value=True, off_value=False, dtype=tf.bool)
        negative = tf.logical_not(own)
        if self.mask_duplicates:
            if source_fingerprint is None or target_fingerprint is None:
                raise ValueError("`mask_duplicates` needs both fingerprints (token_fingerprint).")
            same = _equal_rows(source_fingerprint) | _equal_rows(target_fingerprint)
            negative &= tf.logical_not(same)
        loss = self._direction(source, all_target, labels, own, negative)
        if self.bidirectional:
            loss += self._direction(target, all_source, labels, own, negative)
        negatives = tf.reduce_sum(tf.cast(negative, tf.float32)) / tf.cast(local, tf.float32)
        return loss / tf.cast(total, tf.float32), negatives

    def _direction(self, rows, columns, labels, own, negative) -> tf.Tensor:
        """Sum over local rows of the cross entropy of finding their own column."""
        cosine = tf.matmul(rows, columns, transpose_b=True)
        logits = self.scale * tf.where(own, cosine - self.margin, cosine)
        logits = tf.where(own | negative, logits, -1e9)
        return tf.reduce_sum(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        )


def _equal_rows(fingerprint: tf.Tensor) -> tf.Tensor:
    """bool [local, global]: whether a local row's fingerprint is that of a global row."""
    everyone = gather_across_replicas(fingerprint)
    return tf.reduce_all(fingerprint[:, tf.newaxis] == everyone[tf.newaxis], axis=2)
