"""MaskedLanguageHead: scores of all word pieces for the tokens of an encoder."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

from labse_tf.encoder.config import EncoderConfig
from labse_tf.encoder.layers import Dense, LayerNorm, activate


class MaskedLanguageHead(tf_keras.layers.Layer):
    """BERT's head: dense, activation, layer norm, then the scores of all word pieces.

    These are products with the encoder's word embeddings, and so the two are tied: the head's own
    weights are the dense layer, the layer norm, and a bias for each word piece.

    Args:
        config: the encoder's.
        dtype: the Keras policy, as of the encoder.
        seed: of the dense layer's first weights.
    """

    def __init__(
        self, config: EncoderConfig, dtype: str | None = None, seed: int = 0, name: str = "head"
    ):
        super().__init__(name=name, dtype=dtype)
        width = config.hidden_size
        self._activation = config.activation
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
        self.built = True

    def call(self, tokens: tf.Tensor, lean: bool = False) -> tf.Tensor:
        """[tokens, hidden] -> what is multiplied with the word embeddings, [tokens, hidden].

        With `lean` gradients are written out, see `labse_tf.encoder.custom_gradients`.
        """
        return self.layer_norm(activate(self.dense(tokens), self._activation, lean), lean)
