"""Translation ranking: additive-margin softmax over negatives gathered from every replica."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from labse_tf.encoder.layers import shape_of
from labse_tf.losses.both_ways import both_ways
from labse_tf.losses.fingerprints import known_translations, share_a_sentence
from labse_tf.losses.gathering import PairEmbeddings

DEFAULT_MARGIN = 0.3
DEFAULT_SCALE = 100.0


@tf_keras.saving.register_keras_serializable(package="labse_tf")
class AdditiveMarginRankingLoss:
    """Bidirectional additive-margin softmax (arXiv 1902.08564; 2007.01852, section 2.2).

    With cosine phi, margin m, scale s and the N pairs of the global batch,

        L = -1/N sum_i log( e^{s(phi(x_i,y_i)-m)}
                            / ( e^{s(phi(x_i,y_i)-m)} + sum_{n != i} e^{s phi(x_i,y_n)} ) ),

    plus the same from y to x. Hard negatives of all pairs are further y_n of the first sum. Each
    replica scores its local rows against all-gathered columns, [local, global], and returns its
    local sum divided by the **global** batch: the optimizer sums gradients over replicas, so the
    replicas' shares add up to L.

    Args:
        margin: m, subtracted from the cosine of a pair. LaBSE: 0.3.
        scale: s, the inverse temperature. Model Garden's value for LaBSE: 100.
        bidirectional: whether to add the loss from target to source.
        mask_duplicates: whether pair i's negatives leave out the pairs that have a sentence in
            common with it, on whichever side, and the hard negatives that are a sentence of it or
            of one of these, as another translation of its source: corpora repeat sentences.

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
        fingerprints = (source_fingerprint, target_fingerprint, negative_fingerprint)
        local_pairs = self.normalise(source, target, negative, fingerprints)
        local = tf.cast(shape_of(source)[0], tf.float32)
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        if replicas == 1 and negative is None and self.bidirectional:
            loss, negatives = self._both_ways(local_pairs)
        else:
            loss, negatives = self.block_loss(local_pairs, local_pairs.all_gathered(), 0)
        return loss / (local * replicas), negatives / local

    def normalise(
        self,
        source: tf.Tensor,
        target: tf.Tensor,
        negative: tf.Tensor | None,
        fingerprints: Sequence[tf.Tensor | None],
    ) -> PairEmbeddings:
        """The replica's embeddings as unit rows; for arguments and errors see the call."""
        if not source.shape.is_compatible_with(target.shape):
            raise ValueError(
                f"Sources and targets must be of one shape, but are {source.shape} and "
                f"{target.shape}."
            )
        embeddings = [source, target] + ([] if negative is None else [negative])
        if self.mask_duplicates:
            fingerprints = tuple(fingerprints[: len(embeddings)])
            if any(fingerprint is None for fingerprint in fingerprints):
                raise ValueError(
                    "`mask_duplicates` needs the fingerprints of all sentences (token_fingerprint)."
                )
        else:
            fingerprints = ()
        unit = [tf.math.l2_normalize(tf.cast(x, tf.float32), axis=1) for x in embeddings]
        return PairEmbeddings(unit[0], unit[1], None if negative is None else unit[2], fingerprints)

    def block_loss(
        self, block: PairEmbeddings, columns: PairEmbeddings, first: int | tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of a block of the replica's pairs, summed, and their number of negatives.

        Args:
            block: consecutive pairs; their hard negatives are not read. Pairs behind the replica's
                last one fill up a block: they do not count, but have to be finite.
            columns: those of the global batch, by `PairEmbeddings.all_gathered`.
            first: index of the block's first pair among the replica's.
        """
        rows, total = shape_of(block.source)[0], shape_of(columns.source)[0]
        replica = tf.distribute.get_replica_context()
        local = total // replica.num_replicas_in_sync
        places = first + tf.range(rows)
        labels = replica.replica_id_in_sync_group * local + tf.minimum(places, local - 1)
        counts = tf.cast(places < local, tf.float32)
        own = tf.one_hot(labels, total, on_value=True, off_value=False, dtype=tf.bool)
        candidates = tf.ones_like(own)
        targets, extra = columns.target, None
        if self.mask_duplicates:
            pairs, all_pairs = block.fingerprints[:2], columns.fingerprints[:2]
            candidates = own | ~share_a_sentence(pairs, all_pairs)
        if columns.negative is not None:
            targets = tf.concat([targets, columns.negative], axis=0)
            extra = tf.ones([rows, shape_of(columns.negative)[0]], tf.bool)
            if self.mask_duplicates:
                extra = ~known_translations(pairs, all_pairs, columns.fingerprints[2])
        losses, negatives = self._cross_entropy(
            block.source, targets, labels, own, candidates, extra
        )
        if self.bidirectional:
            losses += self._cross_entropy(
                block.target, columns.source, labels, own, candidates, None
            )[0]
        return tf.reduce_sum(losses * counts), tf.reduce_sum(negatives * counts)

    def _both_ways(self, pairs: PairEmbeddings) -> tuple[tf.Tensor, tf.Tensor]:
        """`block_loss` of all pairs of the only replica: both directions have the same logits."""
        count = shape_of(pairs.source)[0]
        margins = tf.fill([count], -self.scale * self.margin)
        if self.mask_duplicates:
            alike = share_a_sentence(pairs.fingerprints[:2], pairs.fingerprints[:2])
            bias = tf.linalg.set_diag(tf.where(alike, -1e9, 0.0), margins)
            negatives = tf.reduce_sum(tf.cast(~alike, tf.float32))
        else:
            bias = tf.linalg.diag(margins)
            negatives = tf.cast(count * (count - 1), tf.float32)
        return both_ways(self.scale * pairs.source, pairs.target, bias), negatives

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {
            "margin": self.margin,
            "scale": self.scale,
            "bidirectional": self.bidirectional,
            "mask_duplicates": self.mask_duplicates,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> AdditiveMarginRankingLoss:
        """A loss of the same arguments."""
        return cls(**config)

    def _cross_entropy(self, rows, columns, labels, own, candidates, extra):
        """Of the rows' logits with their own columns as labels; and numbers of negatives: [rows].

        Args:
            rows: [rows, dim].
            columns: [columns, dim], those of `own` and then those of `extra`.
            labels: int32 [rows], each row's own column.
            own: bool [rows, pairs], the same as a one-hot.
            candidates: bool [rows, pairs], what a row is ranked against, its own column included.
            extra: bool [rows, hard negatives], the same for these; or None.
        """
        if extra is not None:
            own = tf.concat([own, tf.zeros_like(extra)], axis=1)
            candidates = tf.concat([candidates, extra], axis=1)
        cosine = tf.matmul(rows, columns, transpose_b=True)
        logits = self.scale * tf.where(own, cosine - self.margin, cosine)
        logits = tf.where(candidates, logits, -1e9)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        return losses, tf.reduce_sum(tf.cast(candidates & ~own, tf.float32), axis=1)
