"""The stage "vocabulary": the pieces of the initial model that the training text needs."""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

import labse_tf
from labse_tf.data.pair_files import read_columns
from labse_tf.encoder.encoder import Encoder
from labse_tf.encoder.pruning import Usage, prune
from labse_tf.encoder.weights import named_weights
from training.labse_small.settings import VocabularySettings

_BATCH = 8192  # sentences tokenized at a time


def count_pieces(
    preprocessor: labse_tf.Preprocessor, files: Sequence[str]
) -> tuple[dict[str, np.ndarray], set[str]]:
    """Count the pieces of every language in files of translation pairs.

    Args:
        preprocessor: Tokenizes.
        files: Paths named `<source>-<target>.*` by the codes of their languages.

    Returns:
        For each language int64 [vocab_size], how often each piece occurs; and all characters.
    """
    counts = collections.defaultdict(lambda: np.zeros(preprocessor.vocab_size, np.int64))
    characters: set[str] = set()
    for path in files:
        languages = os.path.basename(path).split(".")[0].split("-")
        for language, sentences in zip(languages, zip(*read_columns(path)), strict=True):
            for start in range(0, len(sentences), _BATCH):
                batch = sentences[start : start + _BATCH]
                pieces = preprocessor.word_pieces(tf.constant(batch)).flat_values.numpy()
                counts[language] += np.bincount(pieces, minlength=preprocessor.vocab_size)
                characters.update("".join(batch))
    return dict(counts), characters


def prune_model(
    model: labse_tf.LaBSE,
    counts: Mapping[str, np.ndarray],
    characters: set[str],
    settings: VocabularySettings,
) -> labse_tf.LaBSE:
    """Return the model with the most frequent pieces and all single characters, without dropout."""
    weights = np.zeros(model.preprocessor.vocab_size)
    for language_counts in counts.values():
        total = language_counts.sum()
        weights += language_counts * (total**settings.exponent / max(total, 1))
    chosen = np.zeros(len(weights), np.int64)
    chosen[np.argsort(-weights, kind="stable")[: settings.size]] = 1
    usage = Usage(chosen, characters, sentences=1)
    preprocessor, encoder = prune(model.preprocessor, model.encoder, usage)
    without_dropout = Encoder(dataclasses.replace(encoder.config, dropout=0.0))
    sources = named_weights(encoder)
    for name, weight in named_weights(without_dropout).items():
        weight.assign(sources[name].value())
    return labse_tf.LaBSE(preprocessor, without_dropout)
