"""Semantic textual similarity, within and across languages: cosines against people's scores."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import os
import re
from collections.abc import Callable

import numpy as np

from labse_tf.evaluation.benchmarks.embedding import Embed
from labse_tf.evaluation.benchmarks.files import check_directory, check_equal, read_sentences_of
from labse_tf.evaluation.metrics import Metrics
from labse_tf.evaluation.observer import Observer
from labse_tf.extras import install_hint
from labse_tf.tokenization.scripts import match_code

HIGHEST = 5.0
_LAYOUT = (
    "<xx>-<split>.tsv, plain or .gz, of lines score TAB sentence TAB sentence with scores from 0 "
    "to 5, equally many and in the same order in each language, such as the STS benchmark's "
    "translations (https://github.com/PhilipMay/stsb-multi-mt)."
)


@dataclasses.dataclass(frozen=True)
class STS:
    """Correlations of the pairs' cosines with their gold scores (arXiv 2007.01852, section 5.3).

    "spearman" is of ranks, "pearson" linear. "de" is within German; in "en-de" the first sentence
    of each pair is the English file's and the second the German file's.

    Args:
        languages: as in the files' names; none for all.
        split: "test" or "dev", or whatever the files' names have.
        pivot: the language that is paired with each other, in both orders.
        all_pairs: whether every language is paired with every other instead.
    """

    name = "sts"
    languages: tuple[str, ...] = ()
    split: str = "test"
    pivot: str = "en"
    all_pairs: bool = False

    def __call__(
        self,
        encode: Callable[[list[str]], np.ndarray],
        data_dir: str | os.PathLike | None = None,
        observer: Observer | None = None,
    ) -> dict[str, float]:
        """Measures `encode` on the files of a directory.

        Raises:
            FileNotFoundError: there is no such directory, or no file of the split in it.
            ImportError: scipy is not installed.
            ValueError: a language is not there, a line is not of its form (file and line), a score
                is out of its range, files do not fit, or the embeddings don't.
        """
        files = self.check(data_dir)
        embed, metrics = Embed(encode), Metrics(observer or Observer())
        read: dict[str, tuple] = {}
        for code in metrics.observer.progress(list(files)):
            with metrics.observer.part(code):
                scores, first, second = _read(files[code], metrics.observer)
                metrics.observer.on_sentences(code, first)
                read[code] = scores, embed.unit(first, code), embed.unit(second, code)
                metrics.add(code, correlations(*read[code]))
        pairs = {
            f"{a}-{b}": (a, b)
            for a, b in itertools.permutations(read, 2)
            if self.all_pairs or self.pivot in (a, b)
        }
        for name, (a, b) in pairs.items():
            with metrics.observer.part(name):
                check_equal((files[a], read[a][0]), (files[b], read[b][0]))
                if different := np.flatnonzero(read[a][0] != read[b][0]).tolist():
                    raise ValueError(
                        f"{files[a]}:{different[0] + 1} and {files[b]}:{different[0] + 1} have "
                        "different scores: they must be translations of the same pairs."
                    )
                metrics.add(name, correlations(read[a][0], read[a][1], read[b][2]))
        metrics.add_mean(f"mean of {len(read)} languages", list(read))
        metrics.add_mean(f"mean of {len(pairs)} pairs of languages", list(pairs))
        return metrics.values

    def check(self, data_dir: str | os.PathLike | None) -> dict[str, str]:
        """The files by language; raises what is wrong with them or the options."""
        if importlib.util.find_spec("scipy") is None:
            raise ImportError(f"sts needs scipy: {install_hint('evaluation')}")
        directory = check_directory(data_dir, self.name, _LAYOUT)
        pattern = re.compile(rf"(?P<code>[A-Za-z_-]+)-{re.escape(self.split)}\.tsv(\.gz)?")
        found = {
            match["code"]: os.path.join(directory, name)
            for name in sorted(os.listdir(directory))
            if (match := pattern.fullmatch(name))
        }
        if not found:
            raise FileNotFoundError(
                f"There is no *-{self.split}.tsv in {directory!r}. Expected: {_LAYOUT}"
            )
        for code in self.languages:
            if match_code(code, found) is None:
                raise ValueError(f"{code!r} is none of the languages there: {', '.join(found)}.")
        codes = [match_code(code, found) for code in self.languages] or found
        return {code: found[code] for code in codes}


def correlations(scores: np.ndarray, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Spearman's and Pearson's correlation of scores [rows] with the rows' cosines.

    Raises:
        ValueError: the scores, or the cosines, are all the same.
    """
    from scipy import stats  # an extra

    cosines = np.sum(x.astype(np.float64) * y, axis=1)
    for what, values in (("gold scores", scores), ("cosines", cosines)):
        if len(np.unique(values)) < 2:
            raise ValueError(f"The {what} are all the same, so nothing correlates with them.")
    return {
        "spearman": float(stats.spearmanr(scores, cosines).statistic),
        "pearson": float(stats.pearsonr(scores, cosines).statistic),
    }


def _read(path: str, observer: Observer) -> tuple[np.ndarray, list[str], list[str]]:
    rows = []
    for number, line in enumerate(read_sentences_of(path, observer), start=1):
        columns = line.split("\t")
        if len(columns) != 3:
            raise ValueError(
                f"{path}:{number}: expected score TAB sentence TAB sentence, but got "
                f"{len(columns)} columns: {line!r:.100}."
            )
        try:
            score = float(columns[0])
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {columns[0]!r} is no score.") from error
        if not 0 <= score <= HIGHEST:
            raise ValueError(
                f"{path}:{number}: the score {columns[0]} is not from 0 to {HIGHEST:g}."
            )
        rows.append((score, columns[1], columns[2]))
    scores, first, second = zip(*rows)
    return np.array(scores), list(first), list(second)
