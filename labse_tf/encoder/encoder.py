"""Encoder: token ids in, one embedding a sentence out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from labse_tf.encoder.config import EncoderConfig
from labse_tf.encoder.dropout import Dropout
from labse_tf.encoder.layers import Dense, Embeddings, shape_of
from labse_tf.encoder.transformer import TransformerLayer
from labse_tf.encoder.unpadding import Unpadding
from labse_tf.processes import check_process

INPUTS = ("input_word_ids", "input_mask", "input_type_ids")


@tf_keras.saving.register_keras_serializable(package="labse_tf")
class Encoder(tf_keras.layers.Layer):
    """BERT with a sentence embedding on top, as google/LaBSE/2.

    Called on `{input_word_ids, input_mask, input_type_ids}`, int32 [batch, width] each, it returns
    `{default, pooled_output, sequence_output}` in float32: `pooled_output` [batch, hidden_size]
    and the same tensor as `default`, not normalised; `sequence_output` [batch, width,
    hidden_size]. Weights exist from construction. With static input shapes every op has a static
    shape, as TPUs need. As a layer of a tf_keras model it is saved and loaded with the model; the
    program that loads it imports `labse_tf.Encoder` first.

    Args:
        config: the shape of the encoder.
        weights_dtype: dtype of the stored word embeddings and kernels, nearly all of the weights:
            "float32"; "float16", "bfloat16" or "int8" (the kernels float16) for inference alone.
        dtype: the Keras policy of the computation: "float32", or "mixed_bfloat16" for matmuls and
            activations in bfloat16, normalisations and softmax in float32. None: the global one.
        name: of the layer.
        trainable: as of every Keras layer.

    Example:
        >>> encoder = Encoder(EncoderConfig.small(vocab_size=1000))
        >>> encoder(preprocessor(tf.constant(["Hello"])))["default"].shape
        TensorShape([1, 256])
    """

    def __init__(
        self,
        config: EncoderConfig,
        weights_dtype: str = "float32",
        dtype: str | None = None,
        name: str = "encoder",
        trainable: bool = True,
    ):
        check_process()
        super().__init__(name=name, dtype=dtype)
        self.config = config
        self.embeddings = Embeddings(config, weights_dtype, dtype=dtype, name="embeddings")
        kernels_dtype = "float16" if weights_dtype == "int8" else weights_dtype
        self.transformer = [
            TransformerLayer(config, i, kernels_dtype, dtype=dtype, name=f"layer_{i}")
            for i in range(config.num_layers)
        ]
        self.pooler = None
        if config.pooling == "cls":
            width = config.hidden_size
            self.pooler = Dense(config, width, width, kernels_dtype, dtype=dtype, name="pooler")
        self.trainable = trainable  # after its layers are there, which have it as well
        self.built = True

    def call(
        self,
        inputs: Mapping[str, tf.Tensor],
        training: bool = False,
        dropout_seed: tf.Tensor | None = None,
        pooled_only: bool = False,
        custom_gradients: bool = False,
        first_row: int | tf.Tensor = 0,
    ) -> dict[str, tf.Tensor]:
        """Embeds tokenised sentences.

        Args:
            inputs: the three int32 [batch, width] tensors; width at most `max_positions`.
            training: whether dropout is on.
            dropout_seed: int32 [2]; the same seed drops the same elements. None: a random one.
            pooled_only: whether to leave out `sequence_output`, and the work that it alone needs:
                on padding, and with pooling by the first token most of the last layer. Shapes are
                then dynamic, which TPUs do not support.
            custom_gradients: whether to use the faster ops with custom gradients of
                `labse_tf.encoder.custom_gradients`; for training steps, not for export.
            first_row: number of the first row in the global batch. With a seed, what is dropped of
                a row depends on its number, and not on the rows that it is embedded with.

        Raises:
            RuntimeError: the process was forked from one that had an encoder.
            ValueError: an input is missing, or the static width is above `max_positions`.
            tf.errors.InvalidArgumentError: a dynamic width is.
        """
        check_process()  # in a graph when it is traced, not when it runs
        if missing := [name for name in INPUTS if name not in inputs]:
            raise ValueError(
                f"The encoder needs the inputs {INPUTS}, but {missing} are missing; "
                f"got {sorted(inputs)}."
            )
        word_ids, mask, type_ids = (inputs[name] for name in INPUTS)
        word_ids = self._checked_width(word_ids)
        batch, width = shape_of(word_ids)
        unpadding = Unpadding.from_mask(mask) if pooled_only else None
        options = dict(
            dropout=Dropout(
                self.config.dropout if training else 0.0,
                dropout_seed,
                first_row,
                batch,
                width,
                unpadding,
            ),
            unpadding=unpadding,
            custom_gradients=custom_gradients,
        )
        x = self.embeddings(word_ids, type_ids, **options)
        # -1e9 at padding: the value that Model Garden's BertEncoder uses.
        bias = (1.0 - tf.cast(mask, tf.float32)) * -1e9
        bias = tf.reshape(bias, [batch, 1, 1, width])
        first_only = False
        for layer in self.transformer:
            is_last = layer is self.transformer[-1]
            first_only = pooled_only and self.config.pools_first_token and is_last
            x = layer(x, bias, first_only=first_only, **options)
        if pooled_only:
            pooled = self._pool_unpadded(x, mask, unpadding, first_only)
            return {"default": pooled, "pooled_output": pooled}
        tokens = tf.reshape(x, [batch, width, self.config.hidden_size])
        pooled = self._pool(tokens, mask)
        sequence = tf.cast(tokens, tf.float32)
        return {"default": pooled, "pooled_output": pooled, "sequence_output": sequence}

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, in types that JSON has."""
        return {
            **super().get_config(),  # name, trainable, dtype
            "config": dataclasses.asdict(self.config),
            "weights_dtype": self.embeddings.word.dtype.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Encoder:
        """An encoder of the same arguments, with new weights."""
        return cls(**{**config, "config": EncoderConfig(**config["config"])})

    def _checked_width(self, word_ids: tf.Tensor) -> tf.Tensor:
        most, width = self.config.max_positions, word_ids.shape[1]
        has = f"but the encoder has only `max_positions` (={most})."
        if width is None:
            text = f"The input is too many tokens wide, {has}"
            check = tf.debugging.assert_less_equal(tf.shape(word_ids)[1], most, message=text)
            with tf.control_dependencies([check]):
                return tf.identity(word_ids)
        if width > most:
            raise ValueError(f"The input is {width} tokens wide, {has}")
        return word_ids

    def _pool_unpadded(
        self, tokens: tf.Tensor, mask: tf.Tensor, unpadding: Unpadding, first_only: bool
    ) -> tf.Tensor:
        """[tokens, hidden], or the first ones alone, [batch, hidden] -> float32 [batch, hidden]."""
        if not self.config.pools_first_token:
            return unpadding.mean(tokens, mask)
        first = tokens if first_only else tf.gather(tokens, unpadding.token_indices[:, 0])
        return self._pool_first(first)

    def _pool(self, tokens: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """[batch, width, hidden] -> float32 [batch, hidden]."""
        if self.config.pools_first_token:
            return self._pool_first(tokens[:, 0, :])
        weights = tf.cast(mask, tf.float32)
        count = tf.maximum(tf.reduce_sum(weights, axis=1, keepdims=True), 1.0)
        # Not by indexing with a new axis: TFLite has no such op.
        weights = tf.expand_dims(weights / count, 1)
        return tf.matmul(weights, tf.cast(tokens, tf.float32))[:, 0, :]

    def _pool_first(self, first: tf.Tensor) -> tf.Tensor:
        """Pool the first tokens, [batch, hidden], to float32 [batch, hidden]."""
        if self.pooler is not None:
            first = tf.tanh(self.pooler(first))
        return tf.cast(first, tf.float32)
