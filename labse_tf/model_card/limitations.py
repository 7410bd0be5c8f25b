"""What a card says against its model, from facts alone."""

from __future__ import annotations

from collections.abc import Sequence

from labse_tf.evaluation.report.markdown import escape
from labse_tf.evaluation.results import failures
from labse_tf.model_card.claims import Claims, listed
from labse_tf.model_card.facts import Facts
from labse_tf.model_card.metrics import measured_languages, of_languages, weakest

_NAMED = 12  # languages that are still named, not counted


def of_text(facts: Facts) -> list[str]:
    """Limits of the tokenizer, a sentence or two each."""
    case = (
        "Text is lower-cased and loses its accents before it is tokenized."
        if facts.lower_case
        else "Text is not lower-cased: a word in other case is another one."
    )
    return [
        f"A text is cut at {facts.seq_length} tokens, `[CLS]` and `[SEP]` included; what comes "
        "after does not change its embedding.",
        case,
    ]


def of_model(
    facts: Facts, claims: Claims, evaluations: Sequence[dict], *, saved_model: bool
) -> list[str]:
    """Limits of the whole, a sentence or two each.

    Args:
        evaluations: as they were read.
        saved_model: whether the card is of the SavedModel, not of what was converted from it.
    """
    measured = measured_languages(evaluations)
    others = sorted(measured - {*claims.languages, "en"})
    unmeasured = [code for code in claims.languages if code not in measured | {"en"}]
    claimed = [of_languages(result, claims.languages) for result in evaluations]
    limits = of_text(facts)
    named = ": " + ", ".join(others) if len(others) <= _NAMED else ""
    limits.append(
        "Other languages than those above are not claimed"
        + (f", though {len(others)} more were measured{named}." if others else ".")
    )
    if unmeasured:
        limits.append(f"Claimed, but without a figure of their own: {listed(unmeasured)}.")
    limits += [f"The weakest in {escape(text)}." for text in weakest(claimed)]
    for result in evaluations:
        limits += [f"Failed when it was measured: {escape(text)}" for text in failures(result)]
    if not claims.datasets:
        limits.append("The publisher names no training data.")
    limits.append(
        "The publisher says that no sentence of the benchmarks was among what it was trained on."
        if claims.test_sets_excluded
        else "Whether the benchmarks' sentences were among what it was trained on was not checked."
    )
    limits += map(escape, claims.limitations)
    if facts.weights_dtype != "float32":
        limits.append(f"Its weights were rounded to {facts.weights_dtype}.")
    return limits + (_of_computation(facts, evaluations) if saved_model else [])


def _of_computation(facts: Facts, evaluations: Sequence[dict]) -> list[str]:
    limits = []
    if facts.compute_dtype != "float32":
        limits.append(
            f"It computes in {facts.compute_dtype}: its results, given as float32, have the "
            f"precision of {facts.compute_dtype}."
        )
    precisions = sorted({result["model"].get("precision") or "float32" for result in evaluations})
    if precisions != [facts.compute_dtype]:
        limits.append(
            f"The figures are of its weights computed in {listed(precisions)} by labse_tf; the "
            f"SavedModel itself computes in {facts.compute_dtype}."
        )
    return limits
