"""MiningOptions: what is a pair, which pairs stay, and how they are searched for."""

from __future__ import annotations

import dataclasses
import math
import re

from labse_tf.preparation.options import LANGUAGE_FILTERS, PreparationOptions
from labse_tf.search.choices import DIRECTIONS, MARGINS, NEIGHBOURS

DEDUPLICATIONS = ("equal", "loose", "none")
SEARCHES = ("auto", "exact", "lists")
DTYPES = ("auto", "float32", "float16", "int8")
SEARCH_PRECISIONS = ("auto", "float32", "bfloat16")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def _option(default, help: str):
    return dataclasses.field(default=default, metadata={"help": help})


def _like_preparation(name: str, help: str):
    """An option with the default that the preparation of training pairs has."""
    return _option(getattr(PreparationOptions, name), help)


@dataclasses.dataclass(frozen=True)
class MiningOptions:
    """What is a pair, which pairs stay, and how they are searched for; the flags of `labse mine`.

    Raises:
        ValueError: a field is out of its range; the message names field and value.
    """

    margin: str = _option(
        "ratio", f"score of a pair: {', '.join(MARGINS)}; see labse_tf.search.margins.align"
    )
    strategy: str = _option(
        "mutual",
        "which pairs: mutual, that are each other's best; max, LASER's, of both directions the "
        "best, each sentence once; forward, the best target of each source; backward",
    )
    k: int = _option(NEIGHBOURS, "neighbours of a margin; a partner is one of them")
    alternatives: bool = _option(
        False, "all k candidates of each source (backward: target; mutual: that are in both)"
    )
    min_score: float = _option(-math.inf, "least score of a pair")
    max_score: float = _option(
        math.inf, "largest score: what is above is often boilerplate, the same on both sides"
    )
    keep_best: float = _option(1.0, "up to 1 the share, above it the number of best pairs to keep")
    deduplicate: str = _option(
        "equal",
        "which sentences of a side are mined once: equal, but for white space and Unicode's "
        "composition; loose, but for case, punctuation and spaces too; none",
    )
    deduplicate_pairs: bool = _option(True, "keep equal pairs once, the best")
    deduplicate_targets: bool = _option(False, "keep one pair of a target, the best")
    drop_copies: bool = _option(
        False, "drop pairs whose sides are the same but for case, punctuation and spaces"
    )
    min_length: int = _option(1, "fewest characters of a sentence")
    max_length: int = _option(0, "most characters of a sentence; 0: any")
    max_ratio: float = _option(
        0.0,
        "most of (longer + S) / (shorter + S) of a pair's lengths, S the smoothing; wide "
        "characters count as 2; 0: any",
    )
    ratio_smoothing: float = _like_preparation("ratio_smoothing", "S of --max-ratio")
    source_language: str = _option(
        "", "ISO 639 code: sentences in another language are dropped; empty: none are"
    )
    target_language: str = _option("", "the same of the targets")
    language_filter: str = _like_preparation(
        "language_filter",
        "how that is found: script, by the letters; identified, by py3langid too (extra "
        "`preparation`)",
    )
    min_script_share: float = _like_preparation(
        "min_script_share", "least share of a sentence's letters of its language's scripts"
    )
    language_odds: float = _like_preparation(
        "language_odds", "identified: how many times as likely another language may be"
    )
    search: str = _option(
        "auto",
        "exact; lists, inverted lists, which find most of it at a part of the comparisons; auto: "
        "lists where exact search would take long",
    )
    lists: int = _option(0, "inverted lists; 0: the root of the number of sentences of a side")
    source_lists: int = _option(8, "lists that each source is in: more find more, and take longer")
    target_lists: int = _option(4, "lists that each target is in")
    search_precision: str = _option(
        "auto",
        "of the first scoring, float32 or bfloat16; exact search finds the same in either; auto: "
        "the faster one on this machine",
    )
    dtype: str = _option(
        "auto",
        "of stored embeddings, float32, float16 or int8; auto: float32 while that is small, else "
        "float16",
    )
    memory: str = _option("4G", "about how much memory to use, as 4G or 500M")
    seed: int = _option(0, "of the lists, and of the samples in a report")

    def __post_init__(self):
        infinite = math.inf
        for name, lowest, highest in (
            ("k", 1, 1000),
            ("keep_best", 0, infinite),
            ("min_length", 1, infinite),
            ("max_length", 0, infinite),
            ("max_ratio", 0, infinite),
            ("ratio_smoothing", 0, infinite),
            ("min_script_share", 0, 1),
            ("language_odds", 1, infinite),
            ("lists", 0, infinite),
            ("source_lists", 1, infinite),
            ("target_lists", 1, infinite),
            ("seed", 0, infinite),
        ):
            if not lowest <= getattr(self, name) <= highest:
                raise ValueError(
                    f"`{name}` (={getattr(self, name)}) must be from {lowest} to {highest}."
                )
        for name, known in (
            ("margin", MARGINS),
            ("strategy", DIRECTIONS),
            ("deduplicate", DEDUPLICATIONS),
            ("language_filter", LANGUAGE_FILTERS),
            ("search", SEARCHES),
            ("search_precision", SEARCH_PRECISIONS),
            ("dtype", DTYPES),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"`{name}` (={getattr(self, name)!r}) must be one of {known}.")
        if not self.keep_best:
            raise ValueError("`keep_best` (=0) must be above 0: it would keep nothing.")
        if not self.min_score <= self.max_score:
            raise ValueError(
                f"`min_score` (={self.min_score}) must be at most `max_score` (={self.max_score})."
            )
        if self.max_length and self.max_length < self.min_length:
            raise ValueError(
                f"`max_length` (={self.max_length}) must be at least `min_length` "
                f"(={self.min_length}), or 0."
            )
        if 0 < self.max_ratio < 1:
            raise ValueError(f"`max_ratio` (={self.max_ratio}) must be at least 1, or 0 for any.")
        if self.keep_best > 1 and self.keep_best != int(self.keep_best):
            raise ValueError(
                f"`keep_best` (={self.keep_best}) must be a share up to 1, or a whole number."
            )
        _ = self.memory_bytes

    @property
    def memory_bytes(self) -> int:
        """`memory` in bytes."""
        match = _MEMORY.fullmatch(self.memory.strip())
        if not match or not float(match[1]):
            raise ValueError(f"`memory` (={self.memory!r}) must be a size, as 4G or 500M.")
        return int(float(match[1]) * _UNITS[match[2].upper()])
