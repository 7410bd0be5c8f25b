"""Bitext mining as in BUCC: which sentences of two sets are translations of each other."""

from __future__ import annotations

import collections
import dataclasses
import os
import re
from collections.abc import Callable

import numpy as np

from labse_tf.data.duplicates import duplicate_hashes, group_duplicates
from labse_tf.evaluation.benchmarks.embedding import Embed
from labse_tf.evaluation.benchmarks.mining_files import MiningSet, find_sets, read_set
from labse_tf.evaluation.metrics import Metrics
from labse_tf.evaluation.observer import Observer
from labse_tf.files.tsv import to_field
from labse_tf.search.choices import DIRECTIONS, MARGINS, NEIGHBOURS
from labse_tf.search.margins import align

_CURVE = 101  # points


@dataclasses.dataclass(frozen=True)
class Mining:
    """Precision, recall and F1 of mined pairs (BUCC, https://comparable.limsi.fr/bucc2018).

    Each sentence's best partner is a candidate, and those above a threshold are what is found. For
    each set, margin and direction ("de-en, ratio, mutual"): "best F1" and "best threshold", chosen
    on the set itself as in the paper (arXiv 2007.01852, section 5.2); and, with a threshold that
    was chosen on other data, "F1", "precision", "recall" and the "threshold": on the training
    split of the same pair where there is one (`de-en.training.*` for `de-en.test.*`), else on all
    other pairs together.

    A text that stands on several lines of a side is mined once, and its pairs are no candidates,
    since its line cannot be told, but right ones count as not found: LASER's rule (tasks/bucc and
    `--unify` of source/mine_bitexts.py). White space and Unicode's composition do not make texts
    different, and empty lines are left out, as in `labse mine`.

    Args:
        margins: "absolute" for the cosine, "ratio", "distance"; see
            `labse_tf.search.margins.align`.
        directions: "forward", "backward", "mutual", "max" (LASER's); see
            `labse_tf.search.margins.Alignment.pairs`.
        k: neighbours of the margin.
    """

    name = "mining"
    margins: tuple[str, ...] = ("absolute", "ratio")
    directions: tuple[str, ...] = DIRECTIONS
    k: int = NEIGHBOURS

    def __call__(
        self,
        encode: Callable[[list[str]], np.ndarray],
        data_dir: str | os.PathLike | None = None,
        observer: Observer | None = None,
    ) -> dict[str, float]:
        """Measures `encode` on the sets of a directory.

        Raises:
            FileNotFoundError: there is no such directory, or no set in it.
            ValueError: an option or a file is not what it should be, or the embeddings are not.
        """
        sets = self.check(data_dir)
        embed, metrics = Embed(encode), Metrics(observer or Observer())
        ranked: dict[str, dict[str, Ranked]] = {}
        for name in metrics.observer.progress(list(sets)):
            with metrics.observer.part(name):
                pairs = read_set(sets[name], metrics.observer)
                ranked[name] = self._rank(embed, name, pairs)
        for name, of_set in ranked.items():
            for how, own in of_set.items():
                part = f"{name}, {how}"
                others = [ranked[other][how] for other in _tuned_on(name, list(ranked))]
                with metrics.observer.part(part):
                    metrics.add(part, _measured(own, others))
                    metrics.observer.on_curve(part, own.curve())
        return metrics.values

    def check(self, data_dir: str | os.PathLike | None) -> dict[str, tuple[str, str, str]]:
        """The sets' files; raises what is wrong with them or the options."""
        for option, known in (("margins", MARGINS), ("directions", DIRECTIONS)):
            for value in getattr(self, option):
                if value not in known:
                    raise ValueError(f"`{option}` (={value!r}) must be of {known}.")
        return find_sets(data_dir)

    def _rank(self, embed: Embed, name: str, pairs: MiningSet) -> dict[str, Ranked]:
        texts, rows, once = zip(_unique(pairs.sources, name), _unique(pairs.targets, name))
        x, y = (embed.unit(side, name) for side in texts)
        result = {}
        for margin in self.margins:
            aligned = align(x, y, margin=margin, k=self.k)
            for direction in self.directions:
                candidates, scores = aligned.pairs(direction)
                kept = once[0][candidates[:, 0]] & once[1][candidates[:, 1]]
                candidates, scores = candidates[kept], scores[kept]
                candidates = np.stack([of[c] for of, c in zip(rows, candidates.T)], axis=1)
                right = np.array([tuple(pair) in pairs.gold for pair in candidates.tolist()], bool)
                label = "cosine" if margin == "absolute" else margin
                result[f"{label}, {direction}"] = Ranked(scores, right, len(pairs.gold))
        return result


def _unique(sentences: list[str], name: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return distinct texts, the first row of each (int64), and whether it has no other (bool).

    Empty lines are left out, and duplicates are found as `labse mine` finds them.

    Raises:
        ValueError: If all lines are empty.
    """
    texts = [to_field(sentence).strip() for sentence in sentences]
    rows = np.flatnonzero([bool(text) for text in texts])
    if not len(rows):
        raise ValueError(f"{name}: all lines of a side are empty.")
    groups, firsts = group_duplicates(duplicate_hashes([texts[row] for row in rows]))
    rows = rows[firsts]
    return [texts[row] for row in rows], rows, np.bincount(groups) == 1


def _measured(own: Ranked, others: list[Ranked]) -> dict[str, float]:
    """The metrics of a set, with a threshold that was chosen on others, if there are any."""
    threshold, best = own.best()
    found = {"best F1": best, "best threshold": threshold}
    if not others:
        return found
    threshold = Ranked.together(others).best()[0]
    return {**own.at(threshold), "threshold": threshold, **found}


def _tuned_on(name: str, names: list[str]) -> list[str]:
    """The sets on which the threshold for a set is chosen."""
    pair = name.split(".")[0]
    training = [other for other in names if re.fullmatch(rf"{pair}\.(training|train|dev)", other)]
    return [other for other in training or names if other != name]


class Ranked:
    """Candidates by falling score, and which of them are right.

    Args:
        scores: [candidates].
        right: bool [candidates].
        gold: how many right pairs there are, found or not.
    """

    def __init__(self, scores: np.ndarray, right: np.ndarray, gold: int):
        order = np.argsort(-scores, kind="stable")
        self.scores, self.right, self.gold = scores[order], right[order], gold

    @classmethod
    def together(cls, parts: list[Ranked]) -> Ranked:
        """The candidates of several sets as of one."""
        scores = np.concatenate([part.scores for part in parts])
        right = np.concatenate([part.right for part in parts])
        return cls(scores, right, sum(part.gold for part in parts))

    def at(self, threshold: float) -> dict[str, float]:
        """F1, precision and recall of the candidates whose score is at least the threshold."""
        count = np.searchsorted(-self.scores, -threshold, side="right")
        return self._of(int(count))

    def best(self) -> tuple[float, float]:
        """The threshold of the largest F1, midway to the next score, and that F1.

        Raises:
            ValueError: there is no candidate, as when no two rows are each other's best partner.
        """
        if not len(self.scores):
            raise ValueError("There are no candidates, so there is no threshold.")
        found = np.cumsum(self.right)
        f1 = 2 * found / (np.arange(1, len(found) + 1) + self.gold)
        # Candidates of equal score are found together or not at all.
        f1[:-1][self.scores[:-1] == self.scores[1:]] = -1
        last = int(np.argmax(f1))
        below = self.scores[min(last + 1, len(self.scores) - 1)]
        return (float(self.scores[last]) + float(below)) / 2, float(f1[last])

    def curve(self) -> dict[str, list[float]]:
        """Precision, recall and F1 along thresholds from the lowest to the highest score."""
        columns: dict[str, list[float]] = collections.defaultdict(list)
        for threshold in np.linspace(self.scores[-1], self.scores[0], _CURVE):
            columns["threshold"].append(float(threshold))
            for metric, value in self.at(threshold).items():
                columns[metric].append(value)
        return dict(columns)

    def _of(self, count: int) -> dict[str, float]:
        found = int(self.right[:count].sum())
        return {
            "F1": 2 * found / (count + self.gold),
            "precision": found / count if count else 1.0,
            "recall": found / self.gold,
        }
