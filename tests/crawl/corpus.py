"""A small corpus of both sides, and a crawl of it by brute force in NumPy."""

import dataclasses
import random
from pathlib import Path

import numpy as np

from labse_tf.crawl.options import CrawlOptions

WORDS = (
    "the Tom green cat sat on mat apples likes so do What time is it Katze saß auf der Wie".split()
)
# What a tiny model and a tiny corpus need; languages are not identified, since these are none.
OPTIONS = CrawlOptions(
    source_language="de",
    target_language="en",
    identify=False,
    split=False,
    min_length=3,
    shard_rows=13,
    lists=1,
    min_score=-np.inf,
)


def write_corpus(folder: Path, sources: int = 60, targets: int = 75) -> tuple[list, list]:
    """Writes de.txt and en.txt, and returns their sentences, of which some are near-duplicates."""
    rng = random.Random(0)
    sides = []
    for name, count in (("de", sources), ("en", targets)):
        sentences = [" ".join(rng.choices(WORDS, k=rng.randint(2, 7))) for _ in range(count - 5)]
        sentences += [f"{sentence.upper()}!" for sentence in sentences[3:8]]
        (folder / f"{name}.txt").write_text("".join(f"{s}\n" for s in sentences), encoding="utf-8")
        sides.append(sentences)
    return tuple(sides)


def with_options(**options) -> CrawlOptions:
    return dataclasses.replace(OPTIONS, **options)


def without_near_duplicates(sentences: list[str]) -> list[str]:
    first = {}
    for sentence in sentences:
        first.setdefault("".join(filter(str.isalnum, sentence)).casefold(), sentence)
    return list(first.values())


def brute_force(sources, targets, encode, k: int = 4) -> list[tuple[float, str, str]]:
    """Ratio margins, and the greedy choice of both directions: (score, source, target)."""
    sides = [without_near_duplicates(side) for side in (sources, targets)]
    x, y = (encode(side).astype(np.float16).astype(np.float64) for side in sides)
    cosines = x @ y.T
    near = [np.argsort(-c, axis=1, kind="stable")[:, :k] for c in (cosines, cosines.T)]
    means = [
        np.take_along_axis(c, n, axis=1).mean(axis=1) for c, n in zip((cosines, cosines.T), near)
    ]
    margins = cosines / ((means[0][:, None] + means[1][None, :]) / 2)
    edges = []
    for i, rows in enumerate(near[0]):
        j = max(rows, key=lambda j: margins[i, j])
        edges.append((margins[i, j], i, j))
    for j, rows in enumerate(near[1]):
        i = max(rows, key=lambda i: margins[i, j])
        edges.append((margins[i, j], i, j))
    pairs, taken = [], (set(), set())
    for score, i, j in sorted(edges, reverse=True):
        if i not in taken[0] and j not in taken[1]:
            pairs.append((score, sides[0][i], sides[1][j]))
            taken[0].add(i)
            taken[1].add(j)
    return pairs
