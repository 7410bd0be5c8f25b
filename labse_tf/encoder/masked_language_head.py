"""MaskedLanguageHead: scores of all word pieces for the tokens of an encoder."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf
import tf_keras

from labse_tf.encoder.config import EncoderConfig
from labse_tf.encoder.layers import Dense, LayerNorm, activate


@tf_keras.saving.register_keras_serializable(package="labse_tf")
class MaskedLanguageHead(tf_keras.layers.Layer):
    """BERT's head: dense, activation, layer norm, then the scores of all word pieces.

    These are products with the encoder's word embeddings, and so the two are tied: the head's own
    weights are the dense layer, the layer norm, and a bias for each word piece.

    Args:
        config: the encoder's.
        dtype: the Keras policy, as of the encoder.
        seed: of the dense layer's initial weights.
        name: of the layer.
        trainable: as of every Keras layer.
    """

    def __init__(
        self,
        config: EncoderConfig,
        dtype: str | None = None,
        seed: int = 0,
        name: str = "head",
        trainable: bool = True,
    ):
        super().__init__(name=name, dtype=dtype)
        width = config.hidden_size
        self.config = config
        self._seed = seed
        with tf.name_scope(name):
            self.dense = Dense(config, width, width, "float32", dtype=dtype, name="dense")
            first = tf.random.stateless_truncated_normal([width, width], [seed, 0])
            self.dense.kernel.assign(config.initializer_range * first)
            self.layer_norm = LayerNorm(config, dtype=dtype, name="layer_norm")
            self.bias = self.add_weight(
                name="bias",
                shape=[config.vocab_size],
                initializer="zeros",
                experimental_autocast=False,
            )
        self.trainable = trainable  # after its layers are there, which have it as well
        self.built = True

    def call(self, tokens: tf.Tensor, custom_gradients: bool = False) -> tf.Tensor:
        """[tokens, hidden] -> what is multiplied with the word embeddings, [tokens, hidden].

        For `custom_gradients` see `labse_tf.encoder.custom_gradients`.
        """
        x = activate(self.dense(tokens), self.config.activation, custom_gradients)
        return self.layer_norm(x, custom_gradients)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, in types that JSON has."""
        return {
            **super().get_config(),  # name, trainable, dtype
            "config": dataclasses.asdict(self.config),
            "seed": self._seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MaskedLanguageHead:
        """A head of the same arguments; its weights are new."""
        return cls(**{**config, "config": EncoderConfig(**config["config"])})
