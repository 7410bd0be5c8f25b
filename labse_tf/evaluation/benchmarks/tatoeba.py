"""LASER's Tatoeba test: the accuracy of finding translations, 112 languages with English."""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
import os
import tarfile
from collections.abc import Callable

import numpy as np

from labse_tf.evaluation.benchmarks.embedding import Embed
from labse_tf.evaluation.benchmarks.files import check_directory, check_equal, read_sentences_of
from labse_tf.evaluation.benchmarks.tatoeba_groups import GROUPS, PUBLISHED
from labse_tf.evaluation.metrics import Metrics
from labse_tf.evaluation.observer import Observer
from labse_tf.search.accuracy import accuracy
from labse_tf.tokenization.scripts import match_code

LANGUAGES = GROUPS["mean of 112 (all)"]
BUNDLED = importlib.resources.files("labse_tf.evaluation.benchmarks") / "tatoeba.tar.xz"
_LAYOUT = (
    "tatoeba.<code>-eng.<code> and tatoeba.<code>-eng.eng, a sentence a line, as in "
    "https://github.com/facebookresearch/LASER/tree/main/data/tatoeba/v1. Without a directory, "
    "the files that come with labse_tf are used."
)


@dataclasses.dataclass(frozen=True)
class Tatoeba:
    """Accuracy of the nearest neighbour by cosine (arXiv 1812.10464, section 4.3).

    For each language: "to eng", the share of sentences whose nearest English one is their own;
    "from eng", likewise the other way; "accuracy", the mean of both. And the means over the groups
    of the LaBSE paper (table 4) of whose languages none is missing.

    Args:
        languages: Codes of languages; none for all.
        equal_sentences: whether a neighbour counts that is not of the same line but reads the
            same. By the papers' convention it does not.
    """

    name = "tatoeba"
    languages: tuple[str, ...] = ()
    equal_sentences: bool = False

    def __call__(
        self,
        encode: Callable[[list[str]], np.ndarray],
        data_dir: str | os.PathLike | None = None,
        observer: Observer | None = None,
    ) -> dict[str, float]:
        """Measures `encode` on the bundled files, or on those of a directory.

        Raises:
            FileNotFoundError: there is no such directory, or no file of a language.
            ValueError: a code is none of the test's, files do not fit, or the embeddings don't.
        """
        self.check(data_dir)
        embed, metrics = Embed(encode), Metrics(observer or Observer())
        codes = [match_code(code, LANGUAGES) for code in self.languages] or LANGUAGES
        for code in metrics.observer.progress(codes):
            with metrics.observer.part(code):
                sentences, english = _read(code, data_dir, metrics.observer)
                metrics.observer.on_sentences(code, sentences)
                x, y = embed.unit(sentences, code), embed.unit(english, code)
                to = accuracy(x, y, english if self.equal_sentences else None)
                back = accuracy(y, x, sentences if self.equal_sentences else None)
                metrics.add(code, {"accuracy": (to + back) / 2, "to eng": to, "from eng": back})
        if set(codes) != set(LANGUAGES):
            metrics.add_mean(f"mean of {len(codes)}", codes)
        for group, members in GROUPS.items():
            if set(members) <= set(codes):
                metrics.add_mean(group, members)
                for metric, values in PUBLISHED[group].items():
                    metrics.observer.on_published(group, metric, values)
        return metrics.values

    def check(self, data_dir: str | os.PathLike | None) -> None:
        """Raises what is wrong with the options or the directory."""
        if data_dir is not None:
            check_directory(data_dir, self.name, _LAYOUT)
        for code in self.languages:
            if match_code(code, LANGUAGES) is None:
                raise ValueError(
                    f"{code!r} is none of the Tatoeba test's languages: {', '.join(LANGUAGES)}."
                )


def _read(code: str, data_dir: str | os.PathLike | None, observer: Observer) -> tuple[list, list]:
    sides = []
    for side in (code, "eng"):
        name = f"tatoeba.{code}-eng.{side}"
        if data_dir is None:
            observer.on_file(str(BUNDLED))
            sides.append((name, bundled()[name]))
        else:
            path = os.path.join(data_dir, name)
            if not os.path.exists(path):
                raise FileNotFoundError(f"There is no file {path!r}. Expected: {_LAYOUT}")
            sides.append((path, read_sentences_of(path, observer)))
    check_equal(*sides)
    return sides[0][1], sides[1][1]


@functools.cache
def bundled() -> dict[str, list[str]]:
    """The files that come with labse_tf, by their names in LASER's repository, as lines."""
    with BUNDLED.open("rb") as file, tarfile.open(fileobj=file, mode="r:xz") as archive:
        texts = {member.name: archive.extractfile(member).read().decode() for member in archive}
    return {name: text.removesuffix("\n").split("\n") for name, text in texts.items()}
