"""The ways to mine the torn half: by margin, by cosine, by character n-grams."""

from __future__ import annotations

import dataclasses

import numpy as np

import labse_tf
from labse_tf.mining.mine import MinedPair
from training.experiments.translation.corpus import Pair

MARGIN, COSINE, NGRAMS, TRUE = "margin", "cosine", "character n-grams", "true pairs"


@dataclasses.dataclass(frozen=True)
class Mined:
    """Pairs by falling score."""

    pairs: list[Pair]
    scores: np.ndarray
    right: np.ndarray  # bool, whether the pair is a true one
    true: int  # how many true pairs there are

    def best(self, count: int) -> Mined:
        """The best `count`, or all."""
        return Mined(self.pairs[:count], self.scores[:count], self.right[:count], self.true)

    @property
    def precision(self) -> float:
        """Share of the pairs that are true; of none, 0."""
        return float(self.right.mean()) if len(self.right) else 0.0

    @property
    def recall(self) -> float:
        """Share of the true pairs that are here."""
        return float(self.right.sum() / self.true)


def mine_all(
    sources: list[str], targets: list[str], true: list[Pair], encoder: str, dimensions: int
) -> dict[str, Mined]:
    """Mines by each way: mutual best pairs, so that the ways differ in their scores alone.

    Args:
        sources: sentences of one side.
        targets: sentences of the other side.
        true: the pairs that are to be found.
        encoder: directory of the release that mines.
        dimensions: of the character n-grams' embeddings.
    """
    model = labse_tf.load(encoder)
    embeddings = {
        "source_embeddings": model.encode(sources),
        "target_embeddings": model.encode(targets),
    }
    found = {
        MARGIN: labse_tf.mine(sources, targets, margin="ratio", **embeddings),
        COSINE: labse_tf.mine(sources, targets, margin="absolute", **embeddings),
    }
    by_ngrams = ngram_embeddings(sources + targets, dimensions)
    found[NGRAMS] = labse_tf.mine(
        sources,
        targets,
        margin="absolute",
        source_embeddings=by_ngrams[: len(sources)],
        target_embeddings=by_ngrams[len(sources) :],
    )
    return {way: judged(pairs, true) for way, pairs in found.items()}


def judged(found: list[MinedPair], true: list[Pair]) -> Mined:
    """Compares what was mined with the truth."""
    truth = set(true)
    pairs = [(pair.source, pair.target) for pair in found]
    right = np.array([pair in truth for pair in pairs], bool)
    return Mined(pairs, np.array([pair.score for pair in found]), right, len(true))


def ngram_embeddings(sentences: list[str], dimensions: int) -> np.ndarray:
    """TF-IDF of the n-grams of 2 to 4 characters within words, hashed: float32 unit rows.

    It knows names, numbers and words that are alike in both languages, and nothing else. A
    sentence without an n-gram gets the first unit vector.
    """
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    counts = HashingVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), n_features=dimensions, norm=None
    ).transform(sentences)
    # The signs, which halve what colliding n-grams add, stay: IDF goes by where a column is not 0.
    dense = TfidfTransformer().fit_transform(counts).toarray().astype(np.float32)
    dense[~dense.any(axis=1), 0] = 1
    return dense
