"""DualEncoder: one train_step for translation ranking, under every strategy."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf
import tf_keras

from labse_tf.encoder import Encoder
from labse_tf.ranking import AdditiveMarginRankingLoss, token_fingerprint

Batch = tuple[Mapping[str, tf.Tensor], Mapping[str, tf.Tensor]]


class DualEncoder(tf_keras.Model):
    """Both sides of a translation pair through one encoder, ranked by `loss`.

    `compile(optimizer)` it, without a loss, and `fit` it on a dataset of (source, target), two
    dicts of int32 [batch, width] tensors as `read_pairs` gives. It works without a strategy and
    under MirroredStrategy and MultiWorkerMirroredStrategy; its shapes are static when the
    dataset's are, as TPUStrategy needs. What `fit` logs is global: `loss`, summed over replicas,
    and `negatives`, the mean number of negatives that a pair was ranked against.

    Args:
        encoder: the Encoder to train, made in the same strategy scope.
        loss: by default LaBSE's.
        seed: of the dropout masks, which depend on seed, step, replica and side alone, so that a
            run that is resumed drops what it would have dropped.
    """

    def __init__(
        self, encoder: Encoder, loss: AdditiveMarginRankingLoss | None = None, seed: int = 0
    ):
        super().__init__(name="dual_encoder")
        self.encoder = encoder
        self.ranking_loss = loss or AdditiveMarginRankingLoss()
        self._seed = seed
        self._loss_metric = tf_keras.metrics.Mean(name="loss")
        self._negatives_metric = tf_keras.metrics.Mean(name="negatives")

    @property
    def metrics(self) -> list[tf_keras.metrics.Metric]:
        return [self._loss_metric, self._negatives_metric]

    def call(self, inputs: Batch, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Embeddings of both sides, float32 [batch, hidden_size] each, not normalised."""
        return self._embed(inputs, training, None)

    def train_step(self, data: Batch) -> dict[str, tf.Tensor]:
        """Takes one step on a replica's share of the global batch."""
        variables = self.trainable_variables
        with tf.GradientTape() as tape:
            embeddings = self._embed(data, training=True, seed=self._step_seed())
            loss, negatives = self._rank(data, embeddings)
        gradients = tape.gradient(loss, variables)
        gradients = [_dense(g, v) for g, v in zip(gradients, variables, strict=True)]
        # Sums over replicas; the loss is divided by the global batch already.
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return self._update_metrics(loss, negatives)

    def test_step(self, data: Batch) -> dict[str, tf.Tensor]:
        """The loss without dropout."""
        return self._update_metrics(*self._rank(data, self._embed(data, False, None)))

    def _embed(self, data: Batch, training: bool, seed: tf.Tensor | None):
        sides = []
        for side, inputs in enumerate(data):
            side_seed = (
                None if seed is None else tf.random.experimental.stateless_fold_in(seed, side)
            )
            outputs = self.encoder(inputs, training=training, dropout_seed=side_seed)
            sides.append(outputs["default"])
        return tuple(sides)

    def _rank(self, data: Batch, embeddings: tuple[tf.Tensor, tf.Tensor]):
        fingerprints = (
            [token_fingerprint(x["input_word_ids"], x["input_mask"]) for x in data]
            if self.ranking_loss.mask_duplicates
            else []
        )
        return self.ranking_loss(*embeddings, *fingerprints)

    def _step_seed(self) -> tf.Tensor:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        step = tf.cast(self.optimizer.iterations, tf.int32)
        seed = tf.stack([tf.constant(self._seed, tf.int32), step])
        return tf.random.experimental.stateless_fold_in(seed, replica)

    def _update_metrics(self, loss: tf.Tensor, negatives: tf.Tensor) -> dict[str, tf.Tensor]:
        # Metrics add up over replicas, totals and counts alike; so the replicas' shares of the
        # loss, times their number, average to the global loss.
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        self._loss_metric.update_state(loss * replicas)
        self._negatives_metric.update_state(negatives)
        return {metric.name: metric.result() for metric in self.metrics}


def _dense(gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> tf.Tensor:
    """Sums the rows of a table's gradient.

    A word's row stands in the slices once for every time the word occurs. The norm that clipping
    takes would count those apart, and tf_keras clips before it sums them.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    return tf.math.unsorted_segment_sum(gradient.values, gradient.indices, variable.shape[0])
