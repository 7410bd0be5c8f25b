"""What a notebook prints, against what its file says that it prints."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

# The tag of a cell whose output is the same on every machine: no time, no trained weights.
STABLE = "stable"


def differences(kept: Mapping[str, Any], new: Mapping[str, Any], name: str) -> list[str]:
    """The text that stable cells print and that the file does not have, as diffs.

    Args:
        kept: the notebook (nbformat 4) as it is in its file.
        new: the same one after it was run.
        name: of the notebook, for the message.

    Returns:
        A unified diff for each stable cell whose text has changed; empty if none has.

    Raises:
        ValueError: no cell is tagged as stable, so that nothing would be compared.
    """
    kept_cells, new_cells = _stable(kept), _stable(new)
    if not kept_cells:
        raise ValueError(f"{name}: no cell has the tag {STABLE!r}. Tag those that never change.")
    found = []
    for of_kept, of_new in zip(kept_cells, new_cells, strict=True):
        lines = difflib.unified_diff(
            text_of(of_kept).splitlines(),
            text_of(of_new).splitlines(),
            f"{name}, cell {of_kept['id']!r}, as kept",
            f"{name}, cell {of_kept['id']!r}, as run",
            lineterm="",
        )
        if diff := "\n".join(lines):
            found.append(diff)
    return found


def text_of(cell: Mapping[str, Any]) -> str:
    """What a code cell prints and shows as text; what it writes to stderr and images are not."""
    parts = []
    for output in cell["outputs"]:
        if output["output_type"] == "stream" and output["name"] == "stdout":
            parts.append(_joined(output["text"]))
        elif data := output.get("data"):
            shown = data.get("text/markdown", data.get("text/plain", ""))
            parts.append(_joined(shown) + "\n")
    return "".join(parts)


def _stable(notebook: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [
        cell
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and STABLE in cell["metadata"].get("tags", ())
    ]


def _joined(text: str | list[str]) -> str:
    """Text as a file of a notebook may have it, as a list of lines too."""
    return text if isinstance(text, str) else "".join(text)
