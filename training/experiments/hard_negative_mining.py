"""Hard negatives for pairs: the nearest targets that are none of a source's, or any of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np

from labse_tf.data.pair_files import read_columns
from labse_tf.files.atomic import atomic_directory
from labse_tf.inference.model import LaBSE
from labse_tf.search.nearest import nearest
from training.experiments.data import write_rows

Pairs = Sequence[tuple[str, str]]


def add_negatives(
    files: Sequence[str],
    folder: str,
    counts: Sequence[int],
    choose: Callable[[Pairs, int], Sequence[Sequence[str]]],
) -> None:
    """Writes FOLDER/COUNT for each count: files of the same names with so many further columns.

    Args:
        files: of translation pairs, `.tsv.gz`; their order is kept.
        folder: is written whole or not at all; one that is there is left as it is.
        counts: numbers of negatives; a smaller one is the first of a larger one.
        choose: from a file's pairs and the largest count to the negatives of each pair; called if
            they are needed.
    """
    if os.path.isdir(folder):
        return
    with atomic_directory(folder) as unfinished:
        for count in counts:
            os.makedirs(os.path.join(unfinished, str(count)))
        for file in files:
            pairs = list(read_columns(file))
            negatives = choose(pairs, max(counts))
            for count in counts:
                rows = [(*p, *texts[:count]) for p, texts in zip(pairs, negatives, strict=True)]
                write_rows(rows, os.path.join(unfinished, str(count), os.path.basename(file)))


def hard_negatives(pairs: Pairs, model: LaBSE, count: int = 1) -> list[list[str]]:
    """For each pair the targets nearest to its source by cosine that are no translations of it.

    A target that equals one that the source has in these pairs is a translation. What is left may
    still be a good one: a paraphrase.

    Args:
        pairs: of one language.
        model: embeds them.
        count: hard negatives of a pair, the nearest first.

    Raises:
        ValueError: a source has nearly all targets for translations.
    """
    right, targets = _translations(pairs, count)
    most = max(map(len, right.values()))
    x, y = (model.encode(side, show_progress=False) for side in (list(right), targets))
    _, found = nearest(x, y, most + count)
    # Of so many at least `count` are wrong: the first such.
    wrong = {
        source: [targets[i] for i in row if targets[i] not in right[source]][:count]
        for source, row in zip(right, np.asarray(found), strict=True)
    }
    return [wrong[source] for source, _ in pairs]


def random_negatives(pairs: Pairs, seed: int, count: int = 1) -> list[list[str]]:
    """As `hard_negatives`, but any such targets, drawn at random without replacement."""
    right, targets = _translations(pairs, count)
    most = max(map(len, right.values()))
    rng = np.random.default_rng(seed)

    def drawn(source: str) -> list[str]:
        places = rng.choice(len(targets), most + count, replace=False)
        return [targets[i] for i in places if targets[i] not in right[source]][:count]

    return [drawn(source) for source, _ in pairs]


def _translations(pairs: Pairs, count: int) -> tuple[dict[str, set[str]], list[str]]:
    """Of each source its targets; and all targets."""
    right: dict[str, set[str]] = {}
    for source, target in pairs:
        right.setdefault(source, set()).add(target)
    targets = sorted({target for _, target in pairs})
    most = max(map(len, right.values()))
    if most + count > len(targets):
        raise ValueError(
            f"A source has {most} of the {len(targets)} targets of its file for translations: too "
            f"few are left for {count} negatives. Give more pairs."
        )
    return right, targets
