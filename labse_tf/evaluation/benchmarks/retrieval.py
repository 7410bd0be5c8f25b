"""Retrieval in n-way parallel files (NTREX-128, FLORES, UN): P@1 and LASER's xsim."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from collections.abc import Callable

import numpy as np

from labse_tf.evaluation.benchmarks.embedding import Embed
from labse_tf.evaluation.benchmarks.files import check_directory, check_equal, read_sentences_of
from labse_tf.evaluation.metrics import Metrics
from labse_tf.evaluation.observer import Observer
from labse_tf.search.accuracy import accuracy
from labse_tf.search.choices import MARGINS, NEIGHBOURS
from labse_tf.search.margins import align
from labse_tf.tokenization.scripts import match_code

# Where a file's name has its language. Files that match the same pattern belong together.
_PATTERNS = {
    "NTREX-128": r"newstest2019-(?:src|ref)\.(?P<code>[A-Za-z-]+)\.txt(?:\.gz)?",
    "FLORES": r"(?P<code>[a-z]{3}_[A-Z][a-z]{3})\.(?:dev|devtest)(?:\.gz)?",
    "UN": r"UNv1\.0\.[\w-]+\.(?P<code>[a-z]{2})(?:\.gz)?",
    "<code>.txt": r"(?P<code>[A-Za-z_-]+)\.txt(?:\.gz)?",
}
_PIVOTS = ("eng", "en", "eng_Latn", "eng-US")
_LAYOUT = (
    "files of equally many lines, one a language, named as NTREX-128's "
    "(newstest2019-ref.<code>.txt, https://github.com/MicrosoftTranslator/NTREX), FLORES' "
    "(<code>.devtest), those of the UN corpus (UNv1.0.testset.<code>), or <code>.txt; plain or .gz."
)


@dataclasses.dataclass(frozen=True)
class Retrieval:
    """P@1 by cosine between English and each language (arXiv 2007.01852, section 5.1).

    For each language: "P@1 to eng", the share of its sentences whose nearest English one is their
    own; "P@1 from eng"; and "xsim error to eng" and "from eng", LASER's share of sentences whose
    best partner by margin is not their own
    (https://github.com/facebookresearch/LASER/tree/main/tasks/xsim). And the means.

    Args:
        languages: codes, as in the files' names; none for all.
        pivot: the code of the language in the middle; None for English.
        all_pairs: whether to measure P@1 from each language to each other as well ("deu>fra").
        equal_sentences: whether a neighbour counts for P@1 that is not of the same line but reads
            the same.
        margin: of xsim.
        k: neighbours of xsim's margin.
    """

    name = "retrieval"
    languages: tuple[str, ...] = ()
    pivot: str | None = None
    all_pairs: bool = False
    equal_sentences: bool = False
    margin: str = "ratio"
    k: int = NEIGHBOURS

    def __call__(
        self,
        encode: Callable[[list[str]], np.ndarray],
        data_dir: str | os.PathLike | None = None,
        observer: Observer | None = None,
    ) -> dict[str, float]:
        """Measures `encode` on the files of a directory.

        Raises:
            FileNotFoundError: there is no such directory, or nothing to measure on in it.
            ValueError: a language is not there, files do not fit, or the embeddings don't.
        """
        files, pivot = self.check(data_dir)
        embed, metrics = Embed(encode), Metrics(observer or Observer())
        middle = read_sentences_of(files[pivot], metrics.observer)
        center = embed.unit(middle, pivot)
        kept = {pivot: (middle, center)}
        languages = [match_code(code, files) for code in self.languages] or files
        codes = [code for code in languages if code != pivot]
        for code in metrics.observer.progress(codes):
            with metrics.observer.part(code):
                sentences = read_sentences_of(files[code], metrics.observer)
                check_equal((files[pivot], middle), (files[code], sentences))
                metrics.observer.on_sentences(code, sentences)
                x = embed.unit(sentences, code)
                if self.all_pairs:
                    kept[code] = (sentences, x)
                metrics.add(code, self._between(pivot, (sentences, x), (middle, center)))
        metrics.add_mean(f"mean of {len(codes)}", codes)
        if self.all_pairs:
            pairs = {f"{a}>{b}": (a, b) for a, b in itertools.permutations(kept, 2)}
            for pair in metrics.observer.progress(list(pairs)):
                (_, x), (sentences, y) = (kept[code] for code in pairs[pair])
                equal = sentences if self.equal_sentences else None
                metrics.add(pair, {"P@1": accuracy(x, y, equal)})
        return metrics.values

    def check(self, data_dir: str | os.PathLike | None) -> tuple[dict[str, str], str]:
        """The files by language, and the pivot; raises what is wrong with them or the options."""
        if self.margin not in MARGINS:
            raise ValueError(f"`margin` (={self.margin!r}) must be one of {MARGINS}.")
        files = _files(check_directory(data_dir, self.name, _LAYOUT))
        for code in self.languages:
            if match_code(code, files) is None:
                raise ValueError(f"{code!r} is none of the languages there: {', '.join(files)}.")
        return files, self._pivot(files)

    def _between(self, pivot: str, side: tuple, middle: tuple) -> dict[str, float]:
        (sentences, x), (pivot_sentences, y) = side, middle
        aligned = align(x, y, margin=self.margin, k=self.k)
        rows = np.arange(len(x))
        to, back = (pivot_sentences, sentences) if self.equal_sentences else (None, None)
        return {
            f"P@1 to {pivot}": accuracy(x, y, to),
            f"P@1 from {pivot}": accuracy(y, x, back),
            f"xsim error to {pivot}": float(np.mean(aligned.targets != rows)),
            f"xsim error from {pivot}": float(np.mean(aligned.sources != rows)),
        }

    def _pivot(self, files: dict[str, str]) -> str:
        for code in _PIVOTS if self.pivot is None else (self.pivot,):
            if code in files:
                return code
        wanted = self.pivot or "English (" + ", ".join(_PIVOTS) + ")"
        raise ValueError(f"There is no file of {wanted} among the languages: {', '.join(files)}.")


def _files(directory: str) -> dict[str, str]:
    """The n-way parallel files by their languages."""
    names = sorted(os.listdir(directory))
    for pattern in _PATTERNS.values():
        found: dict[str, str] = {}
        for name in names:
            if match := re.fullmatch(pattern, name):
                code = match["code"]
                if code in found:
                    raise ValueError(
                        f"{directory}: both {os.path.basename(found[code])} and {name} are of "
                        f"{code}. Put different sets in different directories."
                    )
                found[code] = os.path.join(directory, name)
        if len(found) > 1:
            return found
    raise FileNotFoundError(f"There are no parallel files in {directory!r}. Expected: {_LAYOUT}")
