"""Flags of README commands: taken as they stand, then run with small numbers."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

import labse_tf
from labse_tf.commands.flags import from_flags
from labse_tf.preparation.options import PreparationOptions

CONFIGURATIONS = (
    labse_tf.FineTuningConfig,
    labse_tf.PretrainingConfig,
    PreparationOptions,
)
# The most of each number, whichever program it is a flag of.
MOST = {"steps": 4, "batch_size": 8, "chunk_size": 4, "warmup_steps": 0, "vocab_size": 1200}
ENCODER = {"hidden_size": 16, "num_heads": 2, "intermediate_size": 16, "num_layers": 1}
LANGUAGES = ("deu", "jpn")


def smaller_config(config: Any) -> Any:
    """A configuration with small numbers."""
    changes = {
        name: min(getattr(config, name), most)
        for name, most in MOST.items()
        if hasattr(config, name)
    }
    return dataclasses.replace(config, **changes)


def smaller_flags(flags: argparse.Namespace) -> argparse.Namespace:
    """Parsed flags with small numbers, of a small new encoder, of few stages and languages.

    Raises:
        ValueError: one of the configurations refuses the flags as they stood.
    """
    given = {**vars(flags)}
    for kind in CONFIGURATIONS:
        if all(field.name in given for field in dataclasses.fields(kind)):
            config = kind(**from_flags(flags, kind))
            given |= {name: getattr(config, name) for name in MOST if hasattr(config, name)}
    small = {name: min(given[name], most) for name, most in MOST.items() if given.get(name)}
    if given.get("vocab") and "hidden_size" in given:  # a new encoder
        labse_tf.EncoderConfig.small(
            **{"vocab_size": 1000, **from_flags(flags, labse_tf.EncoderConfig)}
        )
        small |= ENCODER
    if stages := given.get("stages"):
        most = 1 if "mask_rate" in given else 2  # pre-training begins slowly
        depths = [stage.partition(":")[0] for stage in stages.split(",")][:most]
        small["stages"] = ",".join(f"{depth}:{100 // len(depths)}%" for depth in depths)
        small.pop("num_layers", None)
    if given.get("held_out"):
        small["held_out"] = given["held_out"][:1]
    if benchmarks := given.get("model_and_benchmarks"):  # of labse evaluate
        alone = len(benchmarks) <= 2 and benchmarks[-1] == "tatoeba"
        small["languages"] = LANGUAGES if alone else ()
        small["folds"] = 2 if any(b.startswith("senteval") for b in benchmarks) else None
    return argparse.Namespace(**{**given, **small})
