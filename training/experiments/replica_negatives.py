"""ReplicaNegativesLoss: translation ranking without the negatives of other replicas."""

from __future__ import annotations

import tensorflow as tf

from labse_tf.encoder.layers import shape_of
from labse_tf.losses.ranking import AdditiveMarginRankingLoss


class ReplicaNegativesLoss(AdditiveMarginRankingLoss):
    """What a dual encoder has without cross-replica negatives: each replica ranks its own batch.

    The replicas' contributions add up to the mean of their losses. Everything is gathered as in
    LaBSE's loss, and then what is not the replica's own is no candidate: a step takes as long.
    """

    def _cross_entropy(self, rows, columns, labels, own, candidates, extra):
        candidates &= _of_this_replica(candidates)
        if extra is not None:
            extra &= _of_this_replica(extra)
        return super()._cross_entropy(rows, columns, labels, own, candidates, extra)


def _of_this_replica(columns: tf.Tensor) -> tf.Tensor:
    """bool [columns]: which of the gathered columns, [rows, columns], this replica gave."""
    replica = tf.distribute.get_replica_context()
    count = shape_of(columns)[1]
    owner = tf.range(count) // (count // replica.num_replicas_in_sync)
    return owner == replica.replica_id_in_sync_group
