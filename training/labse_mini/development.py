"""P@1 on the development pairs: what settings are chosen by."""

from __future__ import annotations

import glob
import os

import numpy as np

from labse_tf.data.pair_files import read_columns
from labse_tf.inference.model import LaBSE
from labse_tf.search.nearest import nearest

FEWEST_PAIRS = 8  # of a language that counts


def measure(model: LaBSE, directory: str) -> dict[str, dict[str, float]]:
    """The share of sentences whose nearest English sentence is their translation.

    Args:
        model: embeds.
        directory: of the stage "data"; its development/GROUP/CODE-eng.tsv are read.

    Returns:
        Of each group, language -> P@1, from 0 to 1. What is searched are the English sentences of
        all languages of the group, so that languages with few pairs are as hard as others.
    """
    results: dict[str, dict[str, float]] = {}
    for group in sorted(os.listdir(os.path.join(directory, "development"))):
        pairs = {
            os.path.basename(path).split("-")[0]: list(read_columns(path))
            for path in sorted(glob.glob(os.path.join(directory, "development", group, "*.tsv")))
        }
        english = sorted({target for rows in pairs.values() for _, target in rows})
        places = {sentence: place for place, sentence in enumerate(english)}
        candidates = model.encode(english)
        sources = model.encode([source for rows in pairs.values() for source, _ in rows])
        found = nearest(sources, candidates)[1][:, 0]
        right = found == [places[target] for rows in pairs.values() for _, target in rows]
        ends = np.cumsum([len(rows) for rows in pairs.values()])[:-1]
        results[group] = {
            language: float(np.mean(part))
            for language, part in zip(pairs, np.split(right, ends), strict=True)
            if len(part) >= FEWEST_PAIRS
        }
    return results


def means(results: dict[str, dict[str, float]]) -> dict[str, float]:
    """The mean over the languages of each group."""
    return {group: float(np.mean(list(values.values()))) for group, values in results.items()}
