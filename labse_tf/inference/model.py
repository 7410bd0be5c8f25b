"""LaBSE: a preprocessor and an encoder, which TensorFlow runs, or OpenVINO."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Mapping

import numpy as np

from labse_tf.encoder.encoder import Encoder
from labse_tf.encoder.precision import WITH_FLOAT16, computing_in, weights_dtype_of
from labse_tf.encoder.weights import named_weights, rows_of
from labse_tf.inference.embedder import Embedder
from labse_tf.inference.fingerprint import Weight, compute_fingerprint
from labse_tf.inference.tensorflow import TensorFlow, TensorFlowWordPieces
from labse_tf.inference.windows import Windows
from labse_tf.openvino.encoder import PRECISIONS, OpenVINO
from labse_tf.openvino.kernel_file import KERNEL_FILE, belong_to, read_kernels, write_kernels
from labse_tf.processes import check_process
from labse_tf.release.configuration import read_configuration
from labse_tf.release.saved_model import read_release, write_release
from labse_tf.tokenization.preprocessing import Preprocessor


class LaBSE(Embedder):
    """A preprocessor and an encoder: what `labse_tf.load` returns.

    Args:
        preprocessor: makes the token ids.
        encoder: embeds them.
        backend: runs the encoder's weights in TensorFlow's stead.
        stored_dtype: Dtype in which the model's source stored the weights, which `save` keeps:
            one of `labse_tf.release.weights_dtypes.WEIGHTS_DTYPES`.
        int8_kernels: Kernels that `labse quantize` prepared, which `save` writes again as long
            as the weights of the layers have not changed.

    Raises:
        ValueError: the vocabulary's size is not the embedding table's, or sequences are longer
            than the encoder has positions.

    Example:
        >>> model = labse_tf.load("build/demo/model")
        >>> model.encode(["Hello", "Hallo"]).shape
        (2, 256)
    """

    def __init__(
        self,
        preprocessor: Preprocessor,
        encoder: Encoder,
        backend: OpenVINO | None = None,
        *,
        stored_dtype: str = "float32",
        int8_kernels: Mapping[str, np.ndarray] | None = None,
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
        self.stored_dtype, self.int8_kernels = stored_dtype, int8_kernels

    def with_parts(
        self,
        preprocessor: Preprocessor | None = None,
        encoder: Encoder | None = None,
        backend: OpenVINO | None = None,
    ) -> LaBSE:
        """Return a model with other parts, which `save` stores as it stores this one."""
        return LaBSE(
            preprocessor or self.preprocessor,
            encoder or self.encoder,
            backend,
            stored_dtype=self.stored_dtype,
            int8_kernels=self.int8_kernels,
        )

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

    def _prompts(self) -> tuple[Mapping[str, str], str | None]:
        return self.preprocessor.prompts, self.preprocessor.default_prompt_name

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
            self.int8_kernels,
        )

    def default_weights_dtype(self, compute_dtype: str = "float32") -> str:
        """Return the dtype in which `save` stores the weights by default.

        That is the dtype in which they are held, if it is not float32; else that of the source; and
        `compute_dtype`, if that is float32 as well.
        """
        held = weights_dtype_of(self.encoder)
        stored = self.stored_dtype if held == "float32" else held
        return compute_dtype if stored == "float32" else stored

    def save(self, path: str | os.PathLike, **options) -> None:
        """Write a release; for the options see `labse_tf.release.saved_model.write_release`.

        By default the weights are stored as in the model's source: a model that was read from a
        release with int8 embeddings is written with int8 embeddings. Kernels that `labse quantize`
        prepared are written as well. If the layers were trained since, a warning says that they are
        left out.
        """
        check_process()
        if options.get("weights_dtype") is None:
            compute_dtype = options.get("compute_dtype", "float32")
            options["weights_dtype"] = self.default_weights_dtype(compute_dtype)
        kernels = self.int8_kernels
        if kernels is not None and not belong_to(kernels, _layers(self.encoder)):
            warnings.warn(
                f"{KERNEL_FILE} is left out of {os.fspath(path)!r}: the layers are not those that "
                "`labse quantize` prepared it for. Run `labse quantize` on the new release.",
                stacklevel=2,
            )
            kernels = None

        def add_kernels(directory: str, stored: Encoder) -> None:
            write_kernels(directory, kernels, _layers(stored))

        options["add_files"] = None if kernels is None else add_kernels
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


def read_model(path: str | os.PathLike) -> LaBSE:
    """Read a release as a trainable model.

    Raises:
        FileNotFoundError: If there is no such directory.
        ValueError: If it is not a release, or not a complete one.
    """
    found = read_configuration(path)
    return LaBSE(
        *read_release(path),
        stored_dtype=found.weights_dtype,
        int8_kernels=read_kernels(path, found.encoder),
    )


def _layers(encoder: Encoder) -> dict[str, np.ndarray]:
    """Return the weights of an encoder, without the word embeddings."""
    weights = named_weights(encoder)
    return {name: weights[name].numpy() for name in weights if name != "embeddings/word"}
