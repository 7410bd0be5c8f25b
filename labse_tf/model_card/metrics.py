"""What was measured of a model, and how a card tells it."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Iterable, Sequence

from labse_tf.evaluation.metrics import format_metric
from labse_tf.evaluation.report.facts import describe
from labse_tf.evaluation.report.markdown import escape, fenced, section_blocks
from labse_tf.evaluation.report.parts import Section
from labse_tf.evaluation.report.tables import sections
from labse_tf.evaluation.results import read_results
from labse_tf.model_card.facts import Facts
from labse_tf.tokenization.scripts import canonical_code

_CODE = re.compile(r"(?<![A-Za-z])[a-z]{2,3}(?![A-Za-z])")
_SHOWN_WEAKEST = 3


def read_evaluations(paths: Sequence[str | os.PathLike], facts: Facts) -> list[dict]:
    """What `labse evaluate` wrote of this very model.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such file, is of another model, or has no figure.
    """
    if not paths:
        raise ValueError("There is no evaluation; `labse evaluate MODEL ... --output` writes one.")
    fingerprint = functools.cache(facts.fingerprint)
    evaluations = []
    for path in paths:
        result = read_results(path)
        said = result["model"]
        # OpenVINO compiles float32 weights in whatever precision.
        precision = said.get("precision") if said.get("backend") != "openvino" else None
        own = fingerprint(precision or "float32")
        if said.get("fingerprint") != own:
            raise ValueError(
                f"{os.fspath(path)}: is of another model: its fingerprint is "
                f"{said.get('fingerprint')!r}, this model's is {own!r}. Evaluate this one: "
                f"labse evaluate {facts.encoder} tatoeba --output FILE"
            )
        if not any(run["figures"] for run in result["benchmarks"]):
            raise ValueError(f"{os.fspath(path)}: has no figure: every benchmark failed.")
        evaluations.append(result)
    return evaluations


def measured_languages(evaluations: Iterable[dict]) -> set[str]:
    """The languages that have figures of their own."""
    return {
        code
        for result in evaluations
        for run in result["benchmarks"]
        for key in run["figures"]
        for code in languages_of(_part(key))
    }


def languages_of(part: str) -> list[str]:
    """The languages of a benchmark's part: of "deu_Latn", "en-de" or "de-en, cosine, mutual".

    None, if the part is a mean, or a task as "SST-2".
    """
    if part.startswith("mean of"):
        return []
    return [canonical_code(code) for code in _CODE.findall(re.split("[,.]", part)[0])]


def of_languages(result: dict, languages: Iterable[str]) -> dict:
    """An evaluation without the parts of other languages; English goes with each of them."""
    languages = set(languages)

    def kept(part: str) -> bool:
        codes = languages_of(part)
        return set([code for code in codes if code != "en"] or codes) <= languages

    runs = []
    for run in result["benchmarks"]:
        figures = {key: value for key, value in run["figures"].items() if kept(_part(key))}
        published = {k: v for k, v in (run.get("published") or {}).items() if k in figures}
        runs.append({**run, "figures": figures, "published": published})
    return {**result, "benchmarks": runs}


def metrics(evaluations: Iterable[dict]) -> str:
    """The section on metrics, without its heading.

    Args:
        evaluations: with those parts alone that are to be shown.
    """
    blocks = [
        "Measured on this very model by `labse evaluate`, with the command below. All figures but "
        "thresholds are times 100. Shown are the languages that are claimed here, and the "
        "benchmarks' own means, which may be over others as well."
    ]
    for result in evaluations:
        facts = {**dict(describe(result)), "fingerprint": result["model"]["fingerprint"]}
        blocks.append("\n".join(f"- {name}: {escape(text)}" for name, text in facts.items()))
        blocks.append(fenced(result.get("command") or "(the command was not recorded)"))
        for section in sections([result]):
            shown = section_blocks(_marked(section), False, "the evaluation's JSON file")
            nothing = "None of the claimed languages has a figure here."
            blocks += [f"### {escape(section.title)}", *(shown or [nothing])]
    return "\n\n".join(blocks)


def weakest(evaluations: Iterable[dict]) -> list[str]:
    """Of each benchmark the languages with the worst figures, as "tatoeba, accuracy: kor 12.3"."""
    found = []
    for result in evaluations:
        for section in sections([result]):
            bars = section.bars
            parts = [bar for bar in bars.parts if languages_of(bar.part)] if bars else []
            count = min(_SHOWN_WEAKEST, len(parts) // 2)
            if count:
                last = parts[-count:]
                figures = [f"{bar.part} {format_metric(bars.metric, *bar.values)}" for bar in last]
                found.append(f"{section.title}, {bars.metric}: {', '.join(reversed(figures))}")
    return found


def _part(key: str) -> str:
    return key.rpartition("/")[0]


def _marked(section: Section) -> Section:
    """Says of what is published that it was not measured here."""
    columns = tuple(
        dataclasses.replace(column, heading=f"{column.heading}: as published, not measured here")
        if column.kind == "published"
        else column
        for column in section.table.columns
    )
    return dataclasses.replace(section, table=dataclasses.replace(section.table, columns=columns))
