"""The masked language model of a release: TF-Hub's `.mlm` beside an encoder."""

from __future__ import annotations

import tensorflow as tf

from labse_tf.encoder import INPUTS, Encoder
from labse_tf.pretrainer import MaskedLanguageHead

POSITIONS = "masked_lm_positions"


def masked_language_api(encoder: Encoder, head: MaskedLanguageHead) -> tf.train.Checkpoint:
    """A callable as TF-Hub's text encoders have it, by its common SavedModel APIs for text.

    It takes the encoder's inputs and `masked_lm_positions`, int32 [batch, places]: the places in
    each sentence, [CLS] being 0, whose word pieces are asked for. It returns the encoder's outputs
    and `mlm_logits`, float32 [batch, places, vocab_size].

    Args:
        encoder: of the release.
        head: in float32; tied to the encoder's word embeddings.
    """
    names = (*INPUTS, POSITIONS)
    inputs = {name: tf.TensorSpec([None, None], tf.int32, name=name) for name in names}

    @tf.function(autograph=False)
    def predict(inputs, training: bool = False):
        outputs = encoder({name: inputs[name] for name in INPUTS}, training=training)
        positions = inputs[POSITIONS]
        tokens = tf.gather(outputs["sequence_output"], positions, axis=1, batch_dims=1)
        hidden = head(tf.reshape(tokens, [-1, encoder.config.hidden_size]))
        words = tf.cast(encoder.embeddings.word, tf.float32)
        logits = tf.nn.bias_add(tf.matmul(hidden, words, transpose_b=True), head.bias)
        shape = tf.concat([tf.shape(positions), [encoder.config.vocab_size]], axis=0)
        return {**outputs, "mlm_logits": tf.reshape(logits, shape)}

    for training in (False, True):
        predict.get_concrete_function(inputs, training=training)
    weights = {w.name.removesuffix(":0"): w for w in head.weights}
    api = tf.train.Checkpoint(head=tf.train.Checkpoint(weights=weights))
    api.__call__ = predict
    api.variables = [*encoder.weights, *head.weights]
    api.trainable_variables = [*encoder.trainable_weights, *head.trainable_weights]
    api.regularization_losses = []
    return api
