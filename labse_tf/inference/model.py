"""LaBSE: a preprocessor and an encoder, which TensorFlow runs, or OpenVINO."""

from __future__ import annotations

import functools
import os

from labse_tf.encoder.encoder import Encoder
from labse_tf.encoder.precision import WITH_FLOAT16, computing_in, weights_dtype_of
from labse_tf.encoder.weights import named_weights, rows_of
from labse_tf.inference.embedder import Embedder
from labse_tf.inference.fingerprint import Weight, compute_fingerprint
from labse_tf.inference.tensorflow import TensorFlow, TensorFlowWordPieces
from labse_tf.inference.windows import Windows
from labse_tf.openvino.encoder import PRECISIONS, OpenVINO
from labse_tf.processes import check_process
from labse_tf.release.saved_model import write_release
from labse_tf.tokenization.preprocessing import Preprocessor


class LaBSE(Embedder):
    """A preprocessor and an encoder: what `labse_tf.load` returns.

    Args:
        preprocessor: makes the token ids.
        encoder: embeds them.
        backend: runs the encoder's weights in TensorFlow's stead.

    Raises:
        ValueError: the vocabulary's size is not the embedding table's, or sequences are longer
            than the encoder has positions.

    Example:
        >>> model = labse_tf.load("build/demo/model")
        >>> model.encode(["Hello", "Hallo"]).shape
        (2, 256)
    """

    def __init__(
        self, preprocessor: Preprocessor, encoder: Encoder, backend: OpenVINO | None = None
    ):
        config = encoder.config
        if preprocessor.vocab_size != config.vocab_size:
            raise ValueError(
                f"The vocabulary has {preprocessor.vocab_size} tokens, but the encoder's "
                f"`vocab_size` is {config.vocab_size}."
            )
        if preprocessor.seq_length > config.max_positions:
            raise ValueError(
                f"`seq_length` (={preprocessor.seq_length}) must be at most the encoder's "
                f"`max_positions` (={config.max_positions})."
            )
        super().__init__()
        self.preprocessor = preprocessor
        self.encoder = encoder
        self.backend = backend

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self.encoder.config.hidden_size

    @property
    def seq_length(self) -> int:
        """Most tokens of a sentence that are read, [CLS] and [SEP] included."""
        return self.preprocessor.seq_length

    @property
    def compute_dtype(self) -> str:
        """The precision of `encode`, if it is not told another."""
        return (self.backend or self.encoder).compute_dtype

    @property
    def precisions(self) -> tuple[str, ...]:
        """Those that `encode` can be told."""
        return WITH_FLOAT16 if self.backend is None else tuple(PRECISIONS)

    def fingerprint(self) -> str:
        """See `Embedder.fingerprint`."""
        return compute_fingerprint(
            self.encoder.config,
            self.preprocessor.vocabulary,
            self.preprocessor.options,
            {
                name: Weight(weight.dtype.name, tuple(weight.shape), rows_of(weight))
                for name, weight in named_weights(self.encoder).items()
            },
            self.backend and self.backend.calibrated,
        )

    def save(self, path: str | os.PathLike, **options) -> None:
        """Writes a release; for the options see `labse_tf.release.saved_model.write_release`.

        `weights_dtype` is by default that of the weights here, so that those of a model that was
        loaded in bfloat16 are not called float32, which they are no more.
        """
        check_process()
        stored = weights_dtype_of(self.encoder)
        if stored != "float32" and options.get("weights_dtype") is None:
            options["weights_dtype"] = stored
        write_release(path, self.preprocessor, self.encoder, **options)

    def _made(self, precision: str) -> Windows:
        if self.backend is None:
            run = TensorFlow(computing_in(self.encoder, precision))
        else:
            run = self.backend.embedder(precision)
        return Windows(self.word_pieces, run, self.dim)

    @functools.cached_property
    def word_pieces(self) -> TensorFlowWordPieces:
        """Splits sentences, as `encode` does."""
        return TensorFlowWordPieces(self.preprocessor)
