"""DualEncoder: one train_step for translation ranking, under every strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from labse_tf.encoder.encoder import Encoder
from labse_tf.encoder.layers import shape_of
from labse_tf.losses.fingerprints import token_fingerprint
from labse_tf.losses.ranking import AdditiveMarginRankingLoss
from labse_tf.optimizers.gradients import dense
from labse_tf.optimizers.steps import loss_scale_of, take_step
from labse_tf.training.gradient_caching import cached_gradients

Side = Mapping[str, tf.Tensor]


@tf_keras.saving.register_keras_serializable(package="labse_tf")
class DualEncoder(tf_keras.Model):
    """Embeds both sides of translation pairs by one encoder, and ranks them by `loss`.

    `compile(optimizer)` it, without a loss, and `fit` it on a dataset of (source, target), or
    (source, target, hard negatives), dicts of int32 [n, width] tensors as `read_pairs` gives. It
    works without a strategy and under MirroredStrategy and MultiWorkerMirroredStrategy; with
    `static` its shapes are static when the dataset's are, as TPUStrategy needs. What `fit` logs is
    of the global batch: `loss`; `negatives`, the mean number of negatives of a pair;
    `gradient_norm`, before clipping; `loss_scale`, if the optimizer has one.

    Args:
        encoder: the Encoder to train, made in the same strategy scope. One that computes in
            float16 needs an AdamW with `loss_scaling`.
        loss: by default LaBSE's.
        seed: of the dropout masks, which depend on seed, step, side and the row of the global
            batch alone: they are the same in a resumed run, on any number of replicas, in chunks.
        variables: the encoder's weights to train; by default all.
        clip_norm: highest global norm of the gradient, summed over replicas; 0: no clipping.
        chunk_size: most pairs of a replica that are embedded at a time, see
            `labse_tf.training.gradient_caching`; 0: all at once, which is faster and needs more
            memory.
        static: whether every op has a static shape; padding is computed then, and the gradient
            of the word embeddings is dense.
    """

    def __init__(
        self,
        encoder: Encoder,
        loss: AdditiveMarginRankingLoss | None = None,
        seed: int = 0,
        *,
        variables: Sequence[tf.Variable] | None = None,
        clip_norm: float = 0.0,
        chunk_size: int = 0,
        static: bool = False,
    ):
        super().__init__(name="dual_encoder")
        self.encoder = encoder
        self.ranking_loss = loss or AdditiveMarginRankingLoss()
        self._seed, self._clip_norm, self._chunk_size = seed, clip_norm, chunk_size
        self._static = static
        self._trained = list(encoder.trainable_weights if variables is None else variables)
        self._means = [
            tf_keras.metrics.Mean(name=n) for n in ("loss", "negatives", "gradient_norm")
        ]
        self.distribute_reduction_method = "first"  # what is logged is the same on all replicas
        self.built = True  # the weights are there: nothing to build when it is loaded

    @property
    def metrics(self) -> list[tf_keras.metrics.Metric]:
        return self._means

    def call(self, inputs: Sequence[Side], training: bool = False) -> tuple[tf.Tensor, ...]:
        """Embeddings of each side, float32 [n, hidden_size], not normalised."""
        return tuple(self._embed(side, None, 0, False, training) for side in inputs)

    def train_step(self, data: Sequence[Side]) -> dict[str, tf.Tensor]:
        """Takes one step on a replica's share of the global batch."""
        loss, negatives, gradients = self.gradients(data)
        norm = take_step(self.optimizer, gradients, self._trained, self._clip_norm)
        logs = self._update_metrics(loss, negatives, norm)
        scale = loss_scale_of(self.optimizer)
        return logs if scale is None else {**logs, "loss_scale": scale}

    def test_step(self, data: Sequence[Side]) -> dict[str, tf.Tensor]:
        """The loss without dropout."""
        return self._update_metrics(*self._rank(data, self(data)))

    def gradients(
        self, data: Sequence[Side]
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor | tf.IndexedSlices]]:
        """A replica's share of the global loss, its mean number of negatives, its gradients.

        These are of the loss times the optimizer's loss scale, if it has one.
        """
        dropout, scale = self._dropout(data), loss_scale_of(self.optimizer)
        if self._chunk_size:
            return cached_gradients(
                self._embed,
                self.ranking_loss,
                data,
                self._fingerprints(data),
                dropout,
                self._trained,
                self._chunk_size,
                None if self._static else self.encoder.embeddings.word,
                scale,
            )
        with tf.GradientTape() as tape:
            if self.encoder.config.dropout or self._static:
                embeddings = [self._embed(x, *d, True) for x, d in zip(data, dropout, strict=True)]
            else:
                embeddings = self._embed_together(data)
            loss, negatives = self._rank(data, embeddings)
        gradients = tape.gradient(loss, self._trained, output_gradients=scale)
        if self._static:
            gradients = [dense(g, v) for g, v in zip(gradients, self._trained, strict=True)]
        return loss, negatives, gradients

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, in types that JSON has; `variables` by their names."""
        serialize = tf_keras.saving.serialize_keras_object
        return {
            "encoder": serialize(self.encoder),
            "loss": serialize(self.ranking_loss),
            "seed": self._seed,
            "variables": [variable.name for variable in self._trained],
            "clip_norm": self._clip_norm,
            "chunk_size": self._chunk_size,
            "static": self._static,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects=None) -> DualEncoder:
        """A dual encoder of the same arguments, whose encoder has new weights."""
        deserialize = tf_keras.saving.deserialize_keras_object
        encoder, loss = (deserialize(config[x], custom_objects) for x in ("encoder", "loss"))
        weights = {weight.name: weight for weight in encoder.weights}
        variables = [weights[name] for name in config["variables"]]
        return cls(**{**config, "encoder": encoder, "loss": loss, "variables": variables})

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles it as it was, with an optimizer of the weights to train alone."""
        self.compile(**tf_keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self._trained)

    def _embed(
        self,
        side: Side,
        seed: tf.Tensor | None,
        first_row: int | tf.Tensor,
        custom_gradients: bool,
        training: bool = True,
    ) -> tf.Tensor:
        options = dict(
            training=training,
            dropout_seed=seed,
            first_row=first_row,
            custom_gradients=custom_gradients,
        )
        if self._static:
            return self.encoder(side, **options)["default"]
        return self.encoder(_trimmed(side), pooled_only=True, **options)["default"]

    def _embed_together(self, data: Sequence[Side]) -> list[tf.Tensor]:
        """Embed all sides as one batch: kernels are cast, and their gradients summed, once.

        Dropout masks depend on the side, so this is for encoders without dropout. All sides have
        the same width.
        """
        sizes = [shape_of(side["input_mask"])[0] for side in data]
        together = {name: tf.concat([side[name] for side in data], axis=0) for name in data[0]}
        return tf.split(self._embed(together, None, 0, True), sizes)

    def _fingerprints(self, data: Sequence[Side]) -> tuple[tf.Tensor, ...]:
        if not self.ranking_loss.mask_duplicates:
            return ()
        return tuple(token_fingerprint(x["input_word_ids"], x["input_mask"]) for x in data)

    def _rank(self, data: Sequence[Side], embeddings: Sequence[tf.Tensor]):
        fingerprints = self._fingerprints(data) or (None,) * len(data)
        return self.ranking_loss(
            *embeddings[:2], *fingerprints[:2], *embeddings[2:], *fingerprints[2:]
        )

    def _dropout(self, data: Sequence[Side]) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """Of each side the seed, int32 [2], and the number of its first row in the global batch."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        step = tf.cast(self.optimizer.iterations, tf.int32)
        seed = tf.stack([tf.constant(self._seed, tf.int32), step])
        fold = tf.random.experimental.stateless_fold_in
        return [
            (fold(seed, number), replica * shape_of(side["input_mask"])[0])
            for number, side in enumerate(data)
        ]

    def _update_metrics(self, loss, negatives, *norm) -> dict[str, tf.Tensor]:
        # A metric sums totals and counts over replicas. So the mean of the replicas' shares of the
        # loss, each times the number of replicas, is the global loss.
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        values = ((loss * replicas, None), (negatives, None), *norm)
        for metric, (value, weight) in zip(self._means, values, strict=False):
            metric.update_state(value, sample_weight=weight)
        return {metric.name: metric.result() for metric in self._means[: len(values)]}


def _trimmed(side: Side) -> dict[str, tf.Tensor]:
    """Cut to the longest sentence of a side or chunk; a batch is as wide as that of all sides."""
    longest = tf.reduce_max(tf.reduce_sum(side["input_mask"], axis=1))
    return {name: x[:, :longest] for name, x in side.items()}
