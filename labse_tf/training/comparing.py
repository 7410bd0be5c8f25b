"""What a run that is started again must share with the one in its directory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from labse_tf.encoder.config import EncoderConfig
from labse_tf.training.config import FineTuningConfig, PretrainingConfig

CHECKSUMS = "checksums"
STORED_DTYPE = "stored_dtype"  # of the model that is trained; decides how exports store it
# These change nothing, or the rounding of sums alone.
_FREE = (
    *("checkpoint_every", "keep_checkpoints", "report_every", "steps_per_execution"),
    *("chunk_size", "logits_mb", "jit_compile"),
)
# These decide when a run with `patience` ends, and nothing else.
_MEASURING = ("evaluate_every", "held_out")


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """A line for each difference that matters between two runs, or experiments.

    A setting that an older version did not have counts as its default; one that this version does
    not have any more counts if it was on. Files are compared by their content, if both runs know
    it, in the order of their paths, in which they are read.

    Args:
        before, now: what `labse_tf.training.run_directory.describe` gives, or an experiment's.
    """
    without = ("system", STORED_DTYPE)
    before, now = ({k: v for k, v in run.items() if k not in without} for run in (before, now))
    lines = []
    if "settings" in before and "settings" in now:
        pair = _deciding(before.pop("settings")), _deciding(now.pop("settings"))
        lines = [*_of_files(*pair), *_lines(*pair, "settings")]
    for run in (before, now):
        if "encoder" in run:
            run["encoder"] = _defaults(EncoderConfig) | run["encoder"]
    return [*_lines(before, now), *lines]


def _deciding(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that decide the weights, with defaults for those that are not there."""
    fields = _defaults(PretrainingConfig if "mask_rate" in settings else FineTuningConfig)
    settings = fields | {k: v for k, v in settings.items() if k in fields or v}
    settings[CHECKSUMS] = dict(settings.get(CHECKSUMS, {}))
    without = _FREE if settings.get("patience") else _FREE + _MEASURING
    for name in without:
        settings.pop(name, None)
        settings[CHECKSUMS].pop(name, None)
    if "row_sparse" in settings:  # see FineTuningConfig.updates_rows
        settings["row_sparse"] = (
            settings["row_sparse"] is not False and not settings["static_width"]
        )
    if isinstance(training := settings.get("training"), dict):  # an experiment's
        settings["training"] = _deciding(training)
    return settings


def _of_files(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """Lines for files; their names are taken out of both settings if their content is known."""
    old, new = before.pop(CHECKSUMS), now.pop(CHECKSUMS)
    for name in old.keys() & new.keys():
        paths, earlier = sorted(now.pop(name, [])), before.pop(name, [])
        if len(old[name]) != len(new[name]):
            yield f"settings.{name} was {earlier}, now {paths}"
            continue
        for path, *content in zip(paths, old[name], new[name], strict=True):
            if content[0] != content[1]:
                yield f"settings.{name}: {path!r} has another content"


def _lines(before: Any, now: Any, name: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            line
            for key in sorted(before.keys() | now.keys())
            for line in _lines(before.get(key), now.get(key), f"{name}.{key}".lstrip("."))
        ]
    return [] if before == now else [f"{name} was {before!r}, now {now!r}"]


def _defaults(dataclass: type) -> dict[str, Any]:
    return {
        field.name: field.default
        for field in dataclasses.fields(dataclass)
        if field.default is not dataclasses.MISSING
    }
