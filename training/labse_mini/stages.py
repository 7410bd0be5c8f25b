"""The stages of labse-mini between data and release."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable

import numpy as np
import tf_keras

import labse_tf
from labse_tf.data.pair_files import read_columns
from labse_tf.files.lines import read_lines
from labse_tf.models import NAME
from labse_tf.release.verification import constant_dimensions
from labse_tf.tokenization.vocabulary import learn_vocabulary, write_vocabulary
from training.recipe import Recipe

_SENTENCES_TO_CHECK = 2000


class MiniRecipe(Recipe):
    """The recipe of labse-mini."""

    name = NAME

    def _own_stages(self) -> dict[str, Callable[[], None]]:
        layers = {"layers": self._layers} if self._settings.num_layers else {}
        return {"vocabulary": self._vocabulary, "table": self._table, **layers}

    def _output(self, stage: str) -> str:
        if stage == "vocabulary":
            return os.path.join(self._workdir, "vocab.txt")
        return super()._output(stage)

    def _vocabulary(self) -> None:
        settings = self._settings.vocabulary
        tokens = learn_vocabulary(
            [read_columns(path) for path in self._files("sentences")],
            settings.size,
            exponent=settings.exponent,
            max_sentences=settings.max_sentences,
            tokenization=settings.tokenization,
        )
        write_vocabulary(tokens, self._output("vocabulary"))
        print(f"{len(tokens):,} pieces")

    def _table(self) -> None:
        preprocessor = labse_tf.Preprocessor(
            self._output("vocabulary"),
            self._settings.seq_length,
            tokenization=self._settings.vocabulary.tokenization,
        )
        config = labse_tf.EncoderConfig.small(
            preprocessor.vocab_size,
            hidden_size=self._settings.hidden_size,
            num_layers=0,
            dropout=0.0,
        )
        tf_keras.utils.set_random_seed(self._settings.table.seed)
        model = labse_tf.LaBSE(preprocessor, labse_tf.Encoder(config))
        # A trained scale falls to 0 in one dimension after another, from which it cannot return.
        norm = model.encoder.embeddings.layer_norm
        scale = np.ones(self._settings.hidden_size, np.float32)
        scale[: self._settings.reserved_dimensions] = 0
        norm.scale.assign(scale)
        norm.trainable = False
        self._train(model, self._settings.table, "table")

    def _layers(self) -> None:
        table = labse_tf.load(self._output("table"))
        encoder = labse_tf.grow(
            table.encoder, self._settings.num_layers, self._settings.layers.seed
        )
        model = labse_tf.LaBSE(table.preprocessor, encoder)
        self._train(model, self._settings.layers, "layers")

    def _release(self) -> None:
        trained = "layers" if self._settings.num_layers else "table"
        model = labse_tf.load(self._output(trained))
        self._check_dimensions(model)
        model.save(self._output("release"), weights_dtype="int8")

    def _check_dimensions(self, model: labse_tf.LaBSE) -> None:
        """Raise ValueError if more dimensions than the reserved ones are constant."""
        path = os.path.join(self._output("data"), "development.txt")
        sentences = list(itertools.islice(read_lines(path), _SENTENCES_TO_CHECK))
        constant = constant_dimensions(model.encode(sentences, show_progress=False))
        print(f"{len(constant)} of {model.dim} dimensions are constant")
        if len(constant) > self._settings.reserved_dimensions:
            raise ValueError(
                f"Dimensions {constant.tolist()} of the embeddings are constant, more than "
                f"`reserved_dimensions` (={self._settings.reserved_dimensions}): nothing is "
                "released. Lower the learning rate, or fix the scale of the layer normalization."
            )
