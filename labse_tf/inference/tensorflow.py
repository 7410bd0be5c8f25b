"""Sentences split into word pieces, and embedded, by TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from labse_tf.encoder.encoder import Encoder
from labse_tf.tokenization.preprocessing import Preprocessor


class TensorFlowWordPieces:
    """A Preprocessor as `labse_tf.inference.tokens.WordPieces`."""

    def __init__(self, preprocessor: Preprocessor):
        for name in ("seq_length", "start_id", "end_id", "padding_id", "unknown_id"):
            setattr(self, name, getattr(preprocessor, name))

        @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string)])
        def graph(sentences: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            pieces = preprocessor.word_pieces(sentences)
            return pieces.flat_values, pieces.row_limits()

        self._graph = graph

    def __call__(self, sentences: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        pieces, ends = self._graph(tf.constant(sentences, tf.string))
        return pieces.numpy(), ends.numpy()


class TensorFlow:
    """Embeds ids under a mask, int32 [n, width]: unit rows, float32 [n, dim]."""

    def __init__(self, encoder: Encoder):
        @tf.function(
            autograph=False,  # nothing here is for it, and converting the layers takes seconds
            input_signature=[tf.TensorSpec([None, None], tf.int32)] * 2,
        )
        def graph(ids: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
            inputs = dict(input_word_ids=ids, input_mask=mask, input_type_ids=tf.zeros_like(ids))
            return tf.math.l2_normalize(encoder(inputs, pooled_only=True)["default"], axis=1)

        self.graph = graph

    def __call__(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        try:
            return self.graph(ids, mask).numpy()
        except tf.errors.ResourceExhaustedError as error:
            raise MemoryError(
                f"A batch of {len(ids)} sentences of {ids.shape[1]} tokens did not fit in memory; "
                f"give a smaller `batch_tokens`: {error.message}"
            ) from error
