"""Sentences of a line: its language, its sentences, and which of them are kept.

Languages are told apart by py3langid, measured in `labse_tf.preparation.identification`; a line is
looked at whole, since a language shows in 100 characters and not in 20. Sentences are split by
sentencex, which has rules for some 300 languages.
"""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence

from labse_tf.data.duplicates import cleaned
from labse_tf.extras import install_hint
from labse_tf.preparation.identification import known_labels, likeliest_label, odds_against

# Tried: their sentences end in spaces or in marks that sentencex does not know.
WITHOUT_SPLITTER = {
    "bo": "Tibetan",
    "dz": "Dzongkha",
    "km": "Khmer",
    "lo": "Lao",
    "th": "Thai",
}


def check_splitter(languages: Sequence[str]) -> None:
    """Says that a language cannot be split, before hours of work.

    Raises:
        ImportError: sentencex is not installed.
        ValueError: none splits it.
    """
    for language in languages:
        if language in WITHOUT_SPLITTER:
            raise ValueError(
                f"{WITHOUT_SPLITTER[language]} ({language}) has no splitter: its sentences do not "
                "end in a mark. Split the text before (as by PyThaiNLP for Thai), a sentence a "
                "line, and give --no-split."
            )
    _segment()


class SentenceMaker:
    """Makes sentences of lines.

    Args:
        languages: of each side, codes; both sides' differ.
        identify: whether to drop lines in other languages; else each side has one language.
        odds: how many times as likely another language may be where the side is known.
        split: whether to split lines into sentences.
        shortest, longest: characters of a sentence.

    Attributes:
        dropped: counts of lines and sentences, by the reason.

    Raises:
        ImportError: py3langid or sentencex is not installed.
        ValueError: a language is unknown to them, or stands on both sides.
    """

    def __init__(
        self,
        languages: Mapping[str, Sequence[str]],
        *,
        identify: bool,
        odds: float,
        split: bool,
        shortest: int,
        longest: int,
    ):
        self._identify, self._odds, self._split = identify, odds, split
        self._shortest, self._longest = shortest, longest
        self._first = {side: codes[0] for side, codes in languages.items()}
        self.dropped: collections.Counter[str] = collections.Counter()
        if split:
            check_splitter([code for codes in languages.values() for code in codes])
        self._labels: dict[str, dict[str, frozenset[str]]] = {}
        self._by_label: dict[str, tuple[str, str]] = {}
        if identify:
            self._learn_labels(languages)
        else:
            _check_one_each(languages)

    def _learn_labels(self, languages: Mapping[str, Sequence[str]]) -> None:
        for side, codes in languages.items():
            for code in codes:
                labels = known_labels(code)
                if labels is None:
                    raise ValueError(
                        f"py3langid does not know the language {code!r}: give its files by "
                        "--source or --target, and --no-identify."
                    )
                self._labels.setdefault(side, {})[code] = labels
                for label in labels:
                    if label in self._by_label:
                        raise ValueError(
                            f"{code!r} and {self._by_label[label][1]!r} are not told apart by "
                            "py3langid: give one of them, or --no-identify."
                        )
                    self._by_label[label] = side, code

    def of_line(self, line: str, side: str | None) -> tuple[str, str, list[str]]:
        """The side, the language and the sentences of a line; no sentences, if it is dropped.

        Args:
            line: text.
            side: "source" or "target"; None where the language decides.
        """
        line = cleaned(line)
        if len(line) < self._shortest:
            self.dropped["short line" if line else "empty line"] += 1
            return "", "", []
        side, language = self._side_and_language(line, side)
        if not language:
            self.dropped["line in another language"] += 1
            return "", "", []
        parts = [cleaned(part) for part in _segment()(language, line)] if self._split else [line]
        kept = []
        for part in parts:
            if len(part) < self._shortest:
                self.dropped["short sentence"] += 1
            elif len(part) > self._longest:
                self.dropped["long sentence"] += 1
            else:
                kept.append(part)
        return side, language, kept

    def _side_and_language(self, line: str, side: str | None) -> tuple[str, str]:
        if not self._identify:
            return side, self._first[side]
        found = self._by_label.get(likeliest_label(line), ("", ""))
        if side in (None, found[0]):
            return found
        odds, language = min(
            (odds_against(line, labels), code) for code, labels in self._labels[side].items()
        )
        return side, language if odds <= self._odds else ""


def _check_one_each(languages: Mapping[str, Sequence[str]]) -> None:
    for side, codes in languages.items():
        if len(codes) > 1:
            raise ValueError(
                f"Without identification the {side}s are of one language, not of {codes}."
            )


def _segment():
    try:
        from sentencex import segment
    except ImportError as error:
        raise ImportError(
            f"To split sentences needs sentencex: {install_hint('crawl')}; or give "
            "--no-split, where a line is a sentence."
        ) from error
    return segment
