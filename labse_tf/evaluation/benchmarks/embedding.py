"""Calls the function that is evaluated, and looks at what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


class Embed:
    """Embeddings of a benchmark's sentences.

    Args:
        encode: from a list of strings to an array [sentences, dim].
    """

    def __init__(self, encode: Callable[[list[str]], np.ndarray]):
        self._encode = encode
        self._dim: int | None = None

    def raw(self, sentences: Sequence[str], what: str) -> np.ndarray:
        """As `encode` gives them, float32 [sentences, dim].

        Args:
            sentences: at least one.
            what: of which part they are, as a language, for the messages.

        Raises:
            ValueError: they are not a row a sentence, not as long as those before, or not finite.
        """
        embeddings = np.asarray(self._encode(list(sentences)))
        if embeddings.ndim != 2 or len(embeddings) != len(sentences):
            raise ValueError(
                f"{what}: `encode` must return a row for each of the {len(sentences)} sentences, "
                f"but the shape of what it returned is {list(embeddings.shape)}."
            )
        embeddings = embeddings.astype(np.float32, copy=False)
        if self._dim is None:
            self._dim = embeddings.shape[1]
        if embeddings.shape[1] != self._dim:
            raise ValueError(
                f"{what}: `encode` returned rows of {embeddings.shape[1]}, but of {self._dim} "
                "before."
            )
        finite = np.isfinite(embeddings).all(axis=1)
        if not finite.all():
            row = int(np.argmin(finite))
            raise ValueError(
                f"{what}: `encode` returned NaN or infinity in row {row}, of the sentence "
                f"{sentences[row]!r:.100}."
            )
        return embeddings

    def unit(self, sentences: Sequence[str], what: str) -> np.ndarray:
        """As `raw`, of unit length, so that products are cosines; zeros stay zeros."""
        embeddings = self.raw(sentences, what)
        norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
        return embeddings / np.where(norms > 0, norms, 1)
