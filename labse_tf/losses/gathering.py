"""Embeddings of the global batch, all-gathered from the replicas."""

from __future__ import annotations

import typing

import tensorflow as tf


def gather_across_replicas(x: tf.Tensor) -> tf.Tensor:
    """All-gathers rows: concatenated in the order of the replicas, and differentiable.

    Outside of a strategy, or with one replica, x itself. The gradient of a replica's rows is the
    sum of their gradients on all replicas: every replica's loss depends on every row.

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
    if x.shape[0] is not None:  # all_gather loses the static shape; XLA and the labels need it
        gathered = tf.ensure_shape(
            gathered, [replica.num_replicas_in_sync * x.shape[0], *x.shape[1:]]
        )
    return gathered


class PairEmbeddings(typing.NamedTuple):
    """Embeddings of pairs and of hard negatives, with the fingerprints of their sentences.

    Attributes:
        source, target: float32 [pairs, dim], unit rows.
        negative: float32 [pairs * negatives per pair, dim], unit rows; or None.
        fingerprints: int32 [n, 2] by `token_fingerprint` of each of the two or three; or ().
    """

    source: tf.Tensor
    target: tf.Tensor
    negative: tf.Tensor | None
    fingerprints: tuple[tf.Tensor, ...]

    def all_gathered(self) -> PairEmbeddings:
        """Those of the global batch, the replicas' rows in the order of the replicas."""
        return PairEmbeddings(
            gather_across_replicas(self.source),
            gather_across_replicas(self.target),
            None if self.negative is None else gather_across_replicas(self.negative),
            tuple(map(gather_across_replicas, self.fingerprints)),
        )
