"""Fields of configurations, which are flags of programs."""

from __future__ import annotations

import dataclasses
from typing import Any


def option(default: Any, help: str, *, paper: Any = None, model_garden: Any = None) -> Any:
    """A field of a configuration, and so a flag of a program.

    Args:
        default: of both.
        help: what it is, with its unit.
        paper, model_garden: its value in arXiv 2007.01852 and in the Model Garden's LaBSE.
    """
    others = {"the paper": paper, "Model Garden": model_garden}
    said = "; ".join(f"{who}: {value}" for who, value in others.items() if value is not None)
    return dataclasses.field(
        default=default, metadata={"help": f"{help}; {said}" if said else help}
    )
