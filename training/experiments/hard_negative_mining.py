"""add_hard_negatives: to each pair the nearest target that is none of its source's."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np

from labse_tf.data.pair_files import read_columns
from labse_tf.files.atomic import atomic_directory
from labse_tf.inference.model import LaBSE
from labse_tf.search.nearest import nearest
from training.experiments.data import write_rows


def add_hard_negatives(files: Sequence[str], folder: str, model: Callable[[], LaBSE]) -> list[str]:
    """Writes files of the same names with a third column, in the order of the pairs.

    It holds the file's target nearest to the source by cosine among those that are not equal to
    any target that the source has in this file. It may still be a good translation: a paraphrase.

    Args:
        files: of translation pairs, `.tsv.gz`.
        folder: is written whole or not at all; one that is there is left as it is.
        model: gives what embeds; called if it is needed.

    Raises:
        ValueError: a source has all targets of its file for translations.
    """
    if not os.path.isdir(folder):
        embedder = model()
        with atomic_directory(folder) as unfinished:
            for file in files:
                pairs = list(read_columns(file))
                negatives = hard_negatives(pairs, embedder)
                rows = [(*pair, text) for pair, text in zip(pairs, negatives, strict=True)]
                write_rows(rows, os.path.join(unfinished, os.path.basename(file)))
    return [os.path.join(folder, os.path.basename(file)) for file in files]


def hard_negatives(pairs: Sequence[tuple[str, str]], model: LaBSE) -> list[str]:
    """A hard negative for each pair, see `add_hard_negatives`."""
    right: dict[str, set[str]] = {}
    for source, target in pairs:
        right.setdefault(source, set()).add(target)
    sources, targets = list(right), sorted({target for _, target in pairs})
    most = max(map(len, right.values()))
    if most == len(targets):
        raise ValueError(
            f"A source has all {most} targets of its file for translations: no target is left to "
            "be its hard negative. Give more pairs."
        )
    x, y = (model.encode(side, show_progress=False) for side in (sources, targets))
    _, found = nearest(x, y, most + 1)
    # Of so many at least one is wrong: the first such.
    wrong = [
        next(targets[i] for i in row if targets[i] not in right[source])
        for source, row in zip(sources, np.asarray(found), strict=True)
    ]
    of_source = dict(zip(sources, wrong, strict=True))
    return [of_source[source] for source, _ in pairs]
