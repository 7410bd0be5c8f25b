"""GroupNegativesLoss: translation ranking among the negatives of some replicas, not of all."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from labse_tf.encoder.layers import shape_of
from labse_tf.losses.ranking import AdditiveMarginRankingLoss


class GroupNegativesLoss(AdditiveMarginRankingLoss):
    """What a dual encoder has with the negatives of fewer replicas, or of a smaller batch.

    The pairs of the global batch are ranked in groups, each as if it were alone; the loss is the
    mean over all pairs. A group of one replica's pairs is a dual encoder without cross-replica
    negatives; on one replica it is a batch of in-batch negatives of that size. Everything is
    gathered and scored as in LaBSE's loss, and then what is not of the group is no candidate: a
    step takes as long whatever the group.

    Args:
        group: pairs of the global batch in a group, consecutive ones; divides the global batch.
        kwargs: of AdditiveMarginRankingLoss.

    Raises:
        ValueError: `group` is below 2; or, on a call, there are hard negatives.
    """

    def __init__(self, group: int, **kwargs: Any):
        super().__init__(**kwargs)
        if group < 2:
            raise ValueError(f"`group` (={group}) must be at least 2.")
        self.group = group

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "group": self.group}

    def _both_ways(self, pairs):
        return self.block_loss(pairs, pairs.all_gathered(), 0)

    def _cross_entropy(self, rows, columns, labels, own, candidates, extra):
        if extra is not None:
            raise ValueError("Hard negatives are of no group: this loss cannot rank them.")
        groups = tf.range(shape_of(columns)[0]) // self.group
        candidates &= (labels // self.group)[:, tf.newaxis] == groups
        return super()._cross_entropy(rows, columns, labels, own, candidates, None)
