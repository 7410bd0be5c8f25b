"""Accuracy of retrieval: the share of queries whose nearest neighbour is the translation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from labse_tf.search.nearest import nearest


def accuracy(
    queries: np.ndarray, candidates: np.ndarray, sentences: Sequence[str] | None = None
) -> float:
    """The share of queries whose nearest candidate is the one of the same row.

    Args:
        queries: float32 [rows, dim], unit rows.
        candidates: float32 [rows, dim], unit rows. Of equally near ones the first counts.
        sentences: of the candidates, if a candidate of the same text shall count as well.
    """
    found = nearest(queries, candidates)[1][:, 0]
    right = found == np.arange(len(queries))
    if sentences is not None:
        right |= [sentences[i] == sentences[row] for row, i in enumerate(found)]
    return float(np.mean(right))
