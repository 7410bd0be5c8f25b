"""What a report says of a run, in words."""

from __future__ import annotations

import dataclasses
from typing import Any

from labse_tf.mining.options import MiningOptions

NO_PAIRS = "No pairs are left. Loosen the options that drop them."


def described(facts: dict[str, Any], options: MiningOptions) -> list[tuple[str, str]]:
    """(name, value) of what was read, dropped and found, and of options that are not defaults."""
    lines = []
    for name in ("source", "target"):
        of = facts[name]
        parts = [f"{count:,} {reason}" for reason, count in of["dropped"].items() if count]
        if of["copies"]:
            parts.append(f"{of['copies']:,} copies")
        less = f", less {', '.join(parts)}" if parts else ""
        lines.append((f"{name}s", f"{of['sentences']:,} of {of['lines']:,} lines{less}"))
    dropped = [f"{n:,} {reason}" for reason, n in facts["candidates dropped"].items() if n]
    less = f", less {', '.join(dropped)}" if dropped else ""
    lines.append(("pairs", f"{facts['pairs']:,}{less}"))
    if gold := facts.get("gold"):
        at = gold["at the best"]
        lines.append(
            (
                "best F1",
                f"{gold['best F1']:.2%} at a threshold of {gold['best threshold']:.4f} (precision "
                f"{at['precision']:.2%}, recall {at['recall']:.2%})",
            )
        )
    defaults = MiningOptions()
    changed = [
        f"{field.name} {getattr(options, field.name)}"
        for field in dataclasses.fields(options)
        if getattr(options, field.name) != getattr(defaults, field.name)
    ]
    score = f"{options.margin}, k {options.k}" if options.margin != "absolute" else "cosine"
    lines.append(("score", f"{score}, {options.strategy}"))
    lines.append(("options", ", ".join(changed) or "the defaults"))
    lines.append(("seconds", f"{facts['seconds']:,.0f}"))
    return lines
