"""What a report says of the models themselves, in words."""

from __future__ import annotations

import datetime
from collections.abc import Sequence


def title_of_models(names: Sequence[str]) -> str:
    """What a report is of: the model's name, or how many there are."""
    return names[0] if len(names) == 1 else f"{len(names)} models"


def describe(result: dict) -> list[tuple[str, str]]:
    """Facts about a model and its evaluation, as (name, text), as far as they are known.

    Args:
        result: as `labse_tf.evaluation.results.read_results` gives it.
    """
    model, system = result["model"], result.get("system") or {}
    cpu, cores = system.get("cpu"), system.get("cores")
    facts = {
        "fingerprint": _short(model.get("fingerprint")),
        "precision": model.get("precision"),
        "dimension": model.get("dim"),
        "date": _date(result.get("date")),
        "duration": _duration(result.get("seconds")),
        "processor": f"{cpu}, {cores} cores" if cpu and cores else cpu,
    }
    versions = {k: v for k, v in system.items() if k not in ("cpu", "cores")}
    facts["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    return [(name, str(text)) for name, text in facts.items() if text not in (None, "")]


def _short(fingerprint: str | None) -> str | None:
    """The first of the digits, which tell two models apart."""
    if not fingerprint:
        return None
    kind, colon, digits = fingerprint.rpartition(":")
    return f"{kind}{colon}{digits[:12]}" + ("…" if len(digits) > 12 else "")


def _date(text: str | None) -> str | None:
    """The date and the minute in UTC; what is no ISO date stays as it is."""
    if not text:
        return None
    try:
        date = datetime.datetime.fromisoformat(text)
        if date.tzinfo is not None:
            date = date.astimezone(datetime.timezone.utc)
    except (ValueError, OverflowError):
        return text
    return f"{date:%Y-%m-%d %H:%M}" + (" UTC" if date.tzinfo else "")


def _duration(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
