"""The sample's pairs, for benchmarks of mining."""

import gzip
from pathlib import Path

import numpy as np

SAMPLE = sorted((Path(__file__).parents[2] / "training" / "sample").glob("*.train.tsv.gz"))


def sample_pairs() -> list[list[str]]:
    """Source and target, of 13 languages and English, shuffled; each side once."""
    pairs: dict[str, str] = {}
    for path in SAMPLE:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                source, target = line.rstrip("\n").split("\t")[:2]
                pairs.setdefault(target, source)
    both = list({source: [source, target] for target, source in pairs.items()}.values())
    return [both[i] for i in np.random.default_rng(0).permutation(len(both))]


def joined_pairs(pairs: list[list[str]], count: int) -> list[list[str]]:
    """`count` different pairs, each of them two pairs one after the other."""
    rng = np.random.default_rng(1)
    drawn = np.unique(rng.integers(len(pairs), size=[2 * count, 2]), axis=0)
    drawn = rng.permutation(drawn)[:count].tolist()
    return [[f"{pairs[i][side]} {pairs[j][side]}" for side in (0, 1)] for i, j in drawn]
