"""CrawlOptions: what the stages of a crawl do; each setting belongs to one stage."""

from __future__ import annotations

import dataclasses
import math

from labse_tf.models import NAME
from labse_tf.search.choices import DIRECTIONS, MARGINS, NEIGHBOURS
from labse_tf.tokenization.scripts import canonical_code, scripts_of

STAGES = ("extract", "embed", "index", "search", "score", "write")
PRECISIONS = ("float32", "bfloat16")  # as in labse_tf.encoder.precision, which needs TensorFlow
DTYPES = ("float16", "int8")
_MOST_ROWS = 2**31  # of a shard: rows are numbered in 32 bits


def _option(stage: str, default, help: str):
    return dataclasses.field(default=default, metadata={"help": help, "stage": stage})


@dataclasses.dataclass(frozen=True)
class CrawlOptions:
    """Settings of the stages; the command's flags are these fields.

    Raises:
        ValueError: a field is out of its range; the message names field and value.
    """

    source_language: str = _option(
        "extract", "", "ISO 639 code of the sources, or several with commas between"
    )
    target_language: str = _option("extract", "", "the same of the targets")
    identify: bool = _option(
        "extract", True, "drop what is in another language (py3langid), line by line"
    )
    language_odds: float = _option(
        "extract",
        10.0,
        "how many times as likely another language may be, in a file that is of one side",
    )
    split: bool = _option("extract", True, "split lines into sentences (sentencex)")
    text_field: str = _option("extract", "text", "of JSONL and Parquet, where the text is")
    url_field: str = _option("extract", "url", "of JSONL and Parquet, where the URL is, if any")
    min_length: int = _option("extract", 10, "fewest characters of a sentence")
    max_length: int = _option("extract", 1000, "most characters of a sentence")
    max_record: int = _option("extract", 2**24, "bytes of the longest record or line that is read")
    shard_rows: int = _option("extract", 65_536, "sentences of a shard")
    dedup_rows: int = _option("extract", 20_000_000, "sentences that are looked through at a time")

    model: str = _option("embed", NAME, "what labse encode takes, at the same path everywhere")
    dtype: str = _option("embed", DTYPES[0], f"of the embeddings that are kept: {DTYPES}")
    precision: str = _option("embed", PRECISIONS[0], f"to embed in: {PRECISIONS}")
    batch_tokens: int = _option("embed", 0, "most tokens embedded at a time; 0: as LaBSE.encode")

    lists: int = _option("index", 0, "inverted lists; 0: by the number of sentences, 1: exact")
    source_lists: int = _option("index", 8, "lists that each source stands in")
    target_lists: int = _option("index", 4, "lists that each target stands in")
    sample: int = _option("index", 64, "sentences a list from which the centroids are made")
    seed: int = _option("index", 0, "of the sample and of the centroids")

    k: int = _option("search", NEIGHBOURS, "neighbours of the margin, on either side")
    rerank: int = _option(
        "search", 64, "candidates of a sentence, found in 8 bits, that are scored from what is kept"
    )
    search_precision: str = _option("search", PRECISIONS[0], f"of the candidates: {PRECISIONS}")
    group_rows: int = _option("search", 131_072, "rows of the lists that are searched in one task")

    margin: str = _option("score", "ratio", f"{MARGINS}")
    strategy: str = _option("score", "max", f"{DIRECTIONS}")
    min_score: float = _option("score", 1.06, "least score of a pair, in the margin's own unit")
    max_score: float = _option("score", math.inf, "highest score: very high ones are boilerplate")
    thresholds: str = _option(
        "score", "", "least scores by language, as de=1.05,zh=1.08; instead of --min-score"
    )

    pairs_per_file: int = _option("write", 1_000_000, "pairs of a file of the result")

    def __post_init__(self):
        infinite = math.inf
        for name, lowest, highest in (
            ("language_odds", 1, infinite),
            ("min_length", 1, infinite),
            ("max_length", self.min_length, infinite),
            ("max_record", 1, 2**31),
            ("shard_rows", 1, _MOST_ROWS),
            ("dedup_rows", 1, infinite),
            ("batch_tokens", 0, infinite),
            ("lists", 0, 2**31),
            ("source_lists", 1, infinite),
            ("target_lists", 1, infinite),
            ("sample", 1, infinite),
            ("seed", 0, infinite),
            ("k", 1, infinite),
            ("rerank", self.k, infinite),
            ("group_rows", 2, infinite),
            ("min_score", -infinite, self.max_score),
            ("pairs_per_file", 1, infinite),
        ):
            if not lowest <= getattr(self, name) <= highest:
                raise ValueError(
                    f"`{name}` (={getattr(self, name)}) must be from {lowest} to {highest}."
                )
        for name, known in (
            ("dtype", DTYPES),
            ("precision", PRECISIONS),
            ("search_precision", PRECISIONS),
            ("margin", MARGINS),
            ("strategy", DIRECTIONS),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"`{name}` (={getattr(self, name)!r}) must be one of {known}.")
        thresholds_of(self.thresholds)

    def of_stage(self, stage: str) -> dict:
        """The settings of a stage, by their names."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.metadata["stage"] == stage
        }


def languages_of(codes: str, name: str) -> tuple[str, ...]:
    """Codes of languages, "de,zh", in their short form.

    Raises:
        ValueError: there is none, one is unknown, or one stands there twice.
    """
    languages = tuple(canonical_code(code.strip()) for code in codes.split(",") if code.strip())
    if not languages:
        raise ValueError(f"`{name}` (={codes!r}) must be the ISO 639 code of a language, as de.")
    for language in languages:
        scripts_of(language)
    if len({*languages}) < len(languages):
        raise ValueError(f"`{name}` (={codes!r}) names a language twice.")
    return languages


def thresholds_of(text: str) -> dict[str, float]:
    """Least scores by language, of "de=1.05,zh=1.08".

    Raises:
        ValueError: it is not of this form.
    """
    thresholds = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        language, _, number = part.partition("=")
        try:
            scripts_of(language)
            thresholds[canonical_code(language)] = float(number)
        except ValueError as error:
            raise ValueError(
                f"`thresholds` (={text!r}) must be as de=1.05,zh=1.08: {part!r}: {error}"
            ) from error
    return thresholds
