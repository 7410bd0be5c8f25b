"""The encoder run by TensorFlow on some rows of a window."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from labse_tf.encoder.encoder import Encoder
from labse_tf.tokenization.preprocessing import Preprocessor


class TensorFlow:
    """Embeds some rows of a window; see `labse_tf.inference.windows.Windows`."""

    def __init__(self, preprocessor: Preprocessor, encoder: Encoder):
        @tf.function(
            autograph=False,  # nothing here is for it, and converting the layers takes seconds
            input_signature=[
                tf.RaggedTensorSpec([None, None], tf.int32),
                tf.TensorSpec([None], tf.int64),
                tf.TensorSpec([], tf.int32),
            ],
        )
        def graph(pieces: tf.RaggedTensor, rows: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
            packed = preprocessor.pack([tf.gather(pieces, rows)], width)
            return tf.math.l2_normalize(encoder(packed, pooled_only=True)["default"], axis=1)

        self.graph = graph

    def __call__(self, pieces, rows, width) -> np.ndarray:
        try:
            return self.graph(pieces, rows, width).numpy()
        except tf.errors.ResourceExhaustedError as error:
            raise MemoryError(
                f"A batch of {len(rows)} sentences of {width} tokens did not fit in memory; give a "
                f"smaller `batch_tokens`: {error.message}"
            ) from error
