"""Pairs chosen by an existing model: the cosine of the sides' embeddings."""

from __future__ import annotations

import itertools
import math
import os
import warnings
from collections.abc import Iterator

import numpy as np

from labse_tf.inference.embedder import Embedder
from labse_tf.preparation.filters import Filter, Pair
from labse_tf.preparation.raw_pairs import BLOCK


def of_score(model: Embedder, lowest: float) -> Filter:
    """The cosine of the sides' embeddings is at least `lowest`."""
    return lambda pairs: cosines(model, pairs) >= lowest


def cosines(model: Embedder, pairs: list[Pair]) -> np.ndarray:
    """Cosines of the sides, float32 [pairs]; of what is cut to `seq_length`, its beginning's."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* longer than `seq_length`")
        source, target = (
            model.encode([pair[side] for pair in pairs], show_progress=False) for side in (0, 1)
        )
    return np.einsum("ij,ij->i", source, target)


def best_share(
    blocks: Iterator[list[Pair]], model: Embedder, share: float, spool: str, dropped: dict[str, int]
) -> Iterator[list[Pair]]:
    """The share of the pairs with the highest scores, in order; of equal ones the earlier.

    Args:
        blocks: the pairs.
        model: scores them.
        share: of the pairs, above 0, rounded up to whole pairs.
        spool: path of a file that holds the pairs until all are scored; it is removed.
        dropped: gets the number of the others, as "score".
    """
    scores = [np.zeros(0, np.float32)]
    with open(spool, "w+", encoding="utf-8", newline="\n") as file:
        for block in blocks:
            scores.append(cosines(model, block))
            file.writelines(f"{source}\t{target}\n" for source, target in block)
        ranks = np.argsort(-np.concatenate(scores), kind="stable")
        keep = np.zeros(len(ranks), bool)
        keep[ranks[: math.ceil(share * len(ranks))]] = True
        dropped["score"] = int(len(keep) - keep.sum())
        file.seek(0)
        lines = itertools.compress(file, keep)
        while block := list(itertools.islice(lines, BLOCK)):
            yield [tuple(line.removesuffix("\n").split("\t")) for line in block]
    os.remove(spool)
