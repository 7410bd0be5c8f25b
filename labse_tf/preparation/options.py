"""PreparationOptions: which translation pairs stay, and how they are written."""

from __future__ import annotations

import dataclasses
import math

ANY_SCORE = -1.0
FORMATS = ("tfrecord", "tsv")
LANGUAGE_FILTERS = ("script", "identified")
_MOST_SHARDS = 1000  # of a file; each is an open file


def _option(default, help: str):
    return dataclasses.field(default=default, metadata={"help": help})


@dataclasses.dataclass(frozen=True)
class PreparationOptions:
    """Which pairs stay, and how they are written; the program's flags are these fields.

    Raises:
        ValueError: a field is out of its range; the message names field and value.
    """

    nfc: bool = _option(True, "bring text to Unicode NFC; white space is always collapsed")
    min_length: int = _option(1, "fewest characters of a side")
    max_length: int = _option(1000, "most characters of a side")
    max_ratio: float = _option(
        3.0, "most of (longer + S) / (shorter + S), S the smoothing; wide characters count as 2"
    )
    ratio_smoothing: float = _option(
        10.0, "added to both lengths before they are compared, so that short ones may differ more"
    )
    min_script_share: float = _option(
        0.3, "least share of a side's letters that are of its language's scripts; 0: any"
    )
    language_filter: str = _option(
        LANGUAGE_FILTERS[0],
        "how a side is found to be in another language: script, by its letters alone; identified, "
        "by py3langid too (extra `preparation`), which tells French from Spanish",
    )
    language_odds: float = _option(
        10.0,
        "identified: how many times as likely another language may be, before a side is dropped",
    )
    source_language: str = _option(
        "", "ISO 639 code of all sources; else it is read from a file's name, as in deu-eng.tsv.gz"
    )
    target_language: str = _option("", "the same of all targets")
    deduplicate: bool = _option(True, "keep equal pairs once, over all files of a language pair")
    max_per_source: int = _option(0, "most pairs of one source, in a language pair; 0: any")
    max_per_target: int = _option(0, "most pairs of one target, in a language pair; 0: any")
    min_score: float = _option(
        ANY_SCORE, "least cosine of the sides, embedded by an existing model; -1: any"
    )
    keep_best: float = _option(
        1.0, "instead of a threshold: the share of each file's pairs that stays, the best by cosine"
    )
    format: str = _option("tfrecord", f"of the shards: {' or '.join(FORMATS)}")
    compress: bool = _option(False, "gzip the shards")
    shards: int = _option(1, "shards of a file, or as many as it has pairs")
    seed: int = _option(0, "of the order of pairs")

    def __post_init__(self):
        infinite = math.inf
        for name, lowest, highest in (
            ("min_length", 1, infinite),
            ("max_length", self.min_length, infinite),
            ("max_ratio", 1, infinite),
            ("ratio_smoothing", 0, infinite),
            ("min_script_share", 0, 1),
            ("language_odds", 1, infinite),
            ("max_per_source", 0, infinite),
            ("max_per_target", 0, infinite),
            ("min_score", -1, 1),
            ("keep_best", 0, 1),
            ("shards", 1, _MOST_SHARDS),
            ("seed", 0, infinite),
        ):
            if not lowest <= getattr(self, name) <= highest:
                raise ValueError(
                    f"`{name}` (={getattr(self, name)}) must be from {lowest} to {highest}."
                )
        if not self.keep_best:
            raise ValueError("`keep_best` (=0) must be above 0: it would keep nothing.")
        if self.language_filter not in LANGUAGE_FILTERS:
            raise ValueError(
                f"`language_filter` (={self.language_filter!r}) must be one of {LANGUAGE_FILTERS}."
            )
        if self.format not in FORMATS:
            raise ValueError(f"`format` (={self.format!r}) must be one of {FORMATS}.")
        if self.min_score > ANY_SCORE and self.keep_best < 1:
            raise ValueError(
                f"`min_score` (={self.min_score}) and `keep_best` (={self.keep_best}) exclude each "
                "other: give a threshold or a share."
            )

    @property
    def scores(self) -> bool:
        """Whether pairs are chosen by their score."""
        return self.min_score > ANY_SCORE or self.keep_best < 1
