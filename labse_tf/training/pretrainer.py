"""Pretrainer: one train_step for masked and translation language modelling."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf
import tf_keras

from labse_tf.encoder.encoder import Encoder
from labse_tf.encoder.layers import shape_of
from labse_tf.encoder.masked_language_head import MaskedLanguageHead
from labse_tf.losses.masked_language_model import DEFAULT_CHUNK_BYTES, masked_cross_entropy
from labse_tf.optimizers.gradients import dense
from labse_tf.optimizers.steps import loss_scale_of, take_step

Batch = Mapping[str, tf.Tensor]


class Pretrainer(tf_keras.Model):
    """An encoder and a head that predict masked word pieces (arXiv 2007.01852, section 2.3).

    `compile(optimizer)` it, without a loss, and `fit` it on a dataset of what `Masking` makes, as
    `read_masked` gives it. It works without a strategy and under MirroredStrategy and
    MultiWorkerMirroredStrategy; its shapes are static when the dataset's are, as TPUStrategy needs.

    What `fit` logs is of the global batch: `loss`, the mean cross entropy of the masked positions;
    `masked_accuracy`, the share of them whose word piece has the highest logit, and of equal ones
    the lowest id; `gradient_norm`, before clipping; in float16, `loss_scale`. A replica's loss is
    divided by the global number of masked positions.

    Args:
        encoder: the Encoder to train, made in the same strategy scope. Its pooler, if any, is not
            trained.
        head: by default a new one.
        seed: of the dropout masks, which depend on seed, step and the row of the global batch
            alone: they are the same in a resumed run, and on any number of replicas.
        clip_norm: highest global norm of the gradient, summed over replicas; 0: no clipping.
        chunk_bytes: most memory for logits, see `masked_cross_entropy`.
    """

    def __init__(
        self,
        encoder: Encoder,
        head: MaskedLanguageHead | None = None,
        seed: int = 0,
        clip_norm: float = 0.0,
        chunk_bytes: int = DEFAULT_CHUNK_BYTES,
    ):
        super().__init__(name="pretrainer")
        self.distribute_reduction_method = "first"  # what is logged is the same on all replicas
        self.encoder = encoder
        policy = encoder.dtype_policy.name
        self.head = head or MaskedLanguageHead(encoder.config, policy, seed)
        self._seed, self._clip_norm, self._chunk_bytes = seed, clip_norm, chunk_bytes
        self._loss_metric = tf_keras.metrics.Mean(name="loss")
        self._accuracy_metric = tf_keras.metrics.Mean(name="masked_accuracy")
        self._norm_metric = tf_keras.metrics.Mean(name="gradient_norm")

    @property
    def metrics(self) -> list[tf_keras.metrics.Metric]:
        return [self._loss_metric, self._accuracy_metric, self._norm_metric]

    @property
    def trained_weights(self) -> list[tf.Variable]:
        """Those of encoder and head, without the pooler's."""
        pooler = self.encoder.pooler
        left_out = {id(w) for w in (pooler.weights if pooler else ())}
        return [w for w in self.trainable_weights if id(w) not in left_out]

    def call(self, inputs: Batch, training: bool = False) -> tf.Tensor:
        """Logits at the masked positions, float32 [batch, predictions, vocab_size].

        To look at predictions; training never holds them all.
        """
        batch, predictions = shape_of(inputs["masked_lm_positions"])
        hidden = self._hidden(inputs, training, None, self._positions(inputs))
        table = tf.cast(self.encoder.embeddings.word, hidden.dtype)
        logits = tf.cast(tf.matmul(hidden, table, transpose_b=True), tf.float32)
        logits = tf.nn.bias_add(logits, self.head.bias)
        return tf.reshape(logits, [batch, predictions, self.encoder.config.vocab_size])

    def train_step(self, data: Batch) -> dict[str, tf.Tensor]:
        """Takes one step on a replica's share of the global batch."""
        batch, _, _ = tf_keras.utils.unpack_x_y_sample_weight(data)
        variables = self.trained_weights
        loss_scale = loss_scale_of(self.optimizer)
        count = tf.reduce_sum(batch["masked_lm_weights"])
        everywhere = tf.distribute.get_replica_context().all_reduce("SUM", count)
        everywhere = tf.maximum(everywhere, 1.0)
        with tf.GradientTape() as tape:
            loss, correct, count = self.sums(
                batch,
                training=True,
                seed=self._step_seed(),
                gradient_scale=1.0 if loss_scale is None else loss_scale / everywhere,
            )
            scaled = loss / everywhere
        gradients = tape.gradient(scaled, variables, output_gradients=loss_scale)
        # The word embeddings' too: as the output layer every row of theirs has a gradient.
        gradients = [dense(g, v) for g, v in zip(gradients, variables, strict=True)]
        # The sum is the gradient of the global mean: `scaled` is divided by the global count.
        norm, weight = take_step(self.optimizer, gradients, variables, self._clip_norm)
        logs = self._update_metrics(loss, correct, count)
        self._norm_metric.update_state(norm, sample_weight=weight)
        logs[self._norm_metric.name] = self._norm_metric.result()
        scale = loss_scale_of(self.optimizer)
        return logs if scale is None else {**logs, "loss_scale": scale}

    def test_step(self, data: Batch) -> dict[str, tf.Tensor]:
        """The loss without dropout."""
        batch, _, _ = tf_keras.utils.unpack_x_y_sample_weight(data)
        return self._update_metrics(*self.sums(batch))

    def sums(
        self,
        batch: Batch,
        training: bool = False,
        seed: tf.Tensor | None = None,
        gradient_scale: tf.Tensor | float = 1.0,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return sums over a replica's masked positions: cross entropy, correct ones, count."""
        weights = tf.reshape(batch["masked_lm_weights"], [-1])
        labels = tf.reshape(batch["masked_lm_ids"], [-1])
        # Unused positions go last, where chunks of them are skipped.
        order = tf.argsort(weights, direction="DESCENDING", stable=True)
        hidden = self._hidden(batch, training, seed, tf.gather(self._positions(batch), order))
        loss, correct = masked_cross_entropy(
            hidden,
            tf.convert_to_tensor(self.encoder.embeddings.word),
            tf.convert_to_tensor(self.head.bias),
            tf.gather(labels, order),
            tf.gather(weights, order),
            training=training,
            chunk_bytes=self._chunk_bytes,
            gradient_scale=gradient_scale,
        )
        return loss, correct, tf.reduce_sum(weights)

    def _hidden(self, batch: Batch, training: bool, seed: tf.Tensor | None, positions: tf.Tensor):
        """The head's output at positions among the batch * width tokens: [positions, hidden]."""
        first = 0
        if training:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            first = replica * shape_of(batch["input_word_ids"])[0]
        outputs = self.encoder(
            batch,
            training=training,
            dropout_seed=seed,
            custom_gradients=training,
            first_row=first,
        )
        tokens = tf.reshape(outputs["sequence_output"], [-1, self.encoder.config.hidden_size])
        return self.head(tf.gather(tokens, positions), custom_gradients=training)

    def _positions(self, batch: Batch) -> tf.Tensor:
        rows, width = shape_of(batch["input_word_ids"])
        first = tf.range(rows)[:, tf.newaxis] * width
        return tf.reshape(batch["masked_lm_positions"] + first, [-1])

    def _step_seed(self) -> tf.Tensor:
        step = tf.cast(self.optimizer.iterations, tf.int32)
        return tf.stack([tf.constant(self._seed, tf.int32), step])

    def _update_metrics(self, loss, correct, count) -> dict[str, tf.Tensor]:
        # A metric sums totals and counts over replicas.
        for metric, total in ((self._loss_metric, loss), (self._accuracy_metric, correct)):
            metric.update_state(tf.math.divide_no_nan(total, count), sample_weight=count)
        return {m.name: m.result() for m in (self._loss_metric, self._accuracy_metric)}
