"""score: the best partner of each sentence by margin, and pairs of them by a strategy."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import numpy as np

from labse_tf.crawl.extraction import SIDES
from labse_tf.crawl.options import thresholds_of
from labse_tf.crawl.run import Run
from labse_tf.crawl.sharded import ShardedRows, map_rows
from labse_tf.crawl.steps.matching import PAIR, best_partners, one_to_one, ranked
from labse_tf.crawl.tasks import Made, Task, key_of
from labse_tf.files.atomic import atomic_file
from labse_tf.search.neighbours import NO_ROW


def score(run: Run) -> None:
    """Writes score/pairs.npy, `PAIR` by falling score, and the rows and ranks of either side."""
    extracted, searched, options = run.needs("extract"), run.needs("search"), run.options
    manifest = run.begin("score")
    shard_rows = extracted.facts["shard_rows"]
    shards = {side: extracted.facts[side]["shards"] for side in SIDES}
    key = key_of(*(searched.digest(f"{side}s") for side in SIDES))
    for side, other in (SIDES, SIDES[::-1]):
        tasks = [
            Task(
                f"score/{side}-{shard:05d}",
                score_shard,
                {
                    "side": side,
                    "other": other,
                    "shard": shard,
                    "shard_rows": shard_rows,
                    "margin": options.margin,
                },
                key,
            )
            for shard in range(shards[side])
        ]
        run.phase(manifest, f"{side}s", tasks)
    arguments = {
        "shards": shards,
        "shard_rows": shard_rows,
        "strategy": options.strategy,
        "lowest": options.min_score,
        "highest": options.max_score,
        "thresholds": thresholds_of(options.thresholds),
    }
    key = key_of(
        *(manifest.digest(f"{side}s") for side in SIDES),
        *(extracted.digest(f"{side} shards") for side in SIDES),
    )
    (chosen,) = run.phase(manifest, "pairs", [Task("score/pairs", choose_pairs, arguments, key)])
    run.finish(manifest, chosen.counts)


def score_shard(
    folder: str, name: str, *, side: str, other: str, shard: int, shard_rows: int, margin: str
) -> Made:
    """The neighbours of a shard's rows -> NAME.npy, `PARTNER`."""
    neighbours = np.array(map_rows(os.path.join(folder, f"search/{side}-{shard:05d}.npy")))
    means = map_rows(os.path.join(folder, f"search/{side}-{shard:05d}.means.npy"))
    others = ShardedRows(folder, f"search/{other}-{{shard:05d}}.means.npy", shard_rows)
    rows = neighbours["row"]
    found = rows != NO_ROW
    numbers, places = np.unique(rows[found], return_inverse=True)
    other_means = np.zeros(rows.shape, np.float32)
    other_means[found] = others.take(numbers)[places.ravel()]
    partners = best_partners(neighbours, means, other_means, margin)
    with atomic_file(os.path.join(folder, f"{name}.npy"), "wb") as file:
        np.save(file, partners)
    return Made((f"{name}.npy",))


def choose_pairs(
    folder: str, name: str, *, shards, shard_rows, strategy, lowest, highest, thresholds
) -> Made:
    """All partners -> NAME.npy, `PAIR` by falling score, and NAME.SIDE.rows.npy, .ranks.npy.

    In one process, with 24 bytes of memory a candidate above its threshold.
    """
    partners = _Partners(folder, shards, shard_rows)
    at_least = _Thresholds(folder, shard_rows, lowest, thresholds)
    sides = {"forward": SIDES[:1], "backward": SIDES[1:], "mutual": SIDES[:1], "max": SIDES}
    found = [pairs for side in sides[strategy] for pairs in partners.pairs(side, at_least)]
    pairs = np.concatenate([np.empty(0, PAIR), *found])
    candidates = len(pairs)
    if strategy == "mutual":
        pairs = pairs[partners.of("target", pairs["target"]) == pairs["source"]]
    elif strategy == "max":
        pairs = one_to_one(pairs)
    pairs = ranked(pairs[pairs["score"] <= highest])
    arrays = {f"{name}.npy": pairs}
    for side in SIDES:
        order = np.argsort(pairs[side], kind="stable")
        arrays[f"{name}.{side}.rows.npy"] = np.ascontiguousarray(pairs[side][order])
        arrays[f"{name}.{side}.ranks.npy"] = order.astype(np.int64)
    for path, array in arrays.items():
        with atomic_file(os.path.join(folder, path), "wb") as file:
            np.save(file, array)
    return Made(tuple(arrays), {"candidates": candidates, "pairs": len(pairs)})


class _Partners:
    """The best partners of both sides."""

    def __init__(self, folder: str, shards: Mapping[str, int], shard_rows: int):
        self._shards, self._shard_rows = shards, shard_rows
        self._rows = {
            side: ShardedRows(folder, f"score/{side}-{{shard:05d}}.npy", shard_rows)
            for side in SIDES
        }

    def pairs(self, side: str, at_least: _Thresholds) -> Iterator[np.ndarray]:
        """Of each shard of a side, the rows with their partners that reach their thresholds."""
        other = SIDES[side == SIDES[0]]
        for shard in range(self._shards[side]):
            partners = self._rows[side].shard(shard)
            rows = np.flatnonzero(partners["score"] >= at_least.lowest)
            pairs = np.empty(len(rows), PAIR)
            pairs[side] = rows + shard * self._shard_rows
            pairs[other] = partners["row"][rows]
            for name in ("score", "cosine"):
                pairs[name] = partners[name][rows]
            pairs = pairs[np.isfinite(pairs["score"])]
            yield pairs[at_least.reached(pairs)]

    def of(self, side: str, rows: np.ndarray) -> np.ndarray:
        """The partners of some rows, int64."""
        numbers, places = np.unique(rows, return_inverse=True)
        return self._rows[side].take(numbers)["row"][places.ravel()]


class _Thresholds:
    """Least scores: by the language of either sentence, the higher one; of others, the one given.

    Attributes:
        lowest: of all.
    """

    def __init__(self, folder: str, shard_rows: int, lowest: float, of_language: dict[str, float]):
        self._of_language, self._of_others = of_language, lowest
        self.lowest = min([lowest, *of_language.values()])
        self._languages = {
            side: ShardedRows(folder, f"extract/{side}-{{shard:05d}}.languages.npy", shard_rows)
            for side in SIDES
        }

    def reached(self, pairs: np.ndarray) -> np.ndarray:
        """Whether the score of each pair is high enough, bool [pairs]."""
        if not self._of_language:
            return pairs["score"] >= self._of_others
        least = np.full(len(pairs), -np.inf)
        for side in SIDES:
            numbers, places = np.unique(pairs[side], return_inverse=True)
            languages = self._languages[side].take(numbers)[places.ravel()]
            for language, threshold in self._of_language.items():
                least[languages == language.encode()] = np.maximum(
                    least[languages == language.encode()], threshold
                )
        least[least == -np.inf] = self._of_others
        return pairs["score"] >= least
