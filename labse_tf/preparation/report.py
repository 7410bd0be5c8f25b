"""The table of what was read, dropped and kept, from what `prepare_pairs` returns."""

from __future__ import annotations

from typing import Any


def preparation_table(counts: dict[str, Any]) -> list[str]:
    """A line a file: pairs read, dropped by each filter, kept; their sums; what was not filtered.

    Args:
        counts: from `labse_tf.preparation.prepare_pairs.prepare_pairs`, or its counts.json.

    Returns:
        The lines of the table.
    """
    files = counts["files"]
    filters = list(files[0]["dropped"])
    rows = [[f["name"], f["read"], *f["dropped"].values(), f["kept"]] for f in files]
    rows.append(["all", *map(sum, list(zip(*rows))[1:])])
    width = 2 + max(len(row[0]) for row in rows)
    widths = [2 + max(9, len(name)) for name in ("read", *filters, "kept")]

    def line(name: str, *cells: str) -> str:
        return f"{name:{width}}" + "".join(f"{c:>{w}}" for c, w in zip(cells, widths))

    lines = [line("", "read", *filters, "kept")]
    lines += [line(row[0], *(f"{count:,}" for count in row[1:])) for row in rows]
    read, *dropped, kept = rows[-1][1:]
    shares = (f"{count / max(read, 1):.2%}" for count in (read, *dropped, kept))
    lines.append(line("", *shares))
    for name, key, what in (
        ("language", "scripts", "filtered by language, whose scripts are not known"),
        ("identification", "identified", "identified, whose languages py3langid does not know"),
    ):
        for side, sentences in enumerate(("sources", "targets") if name in filters else ()):
            unknown = {f["languages"][side] or "none given" for f in files if not f[key][side]}
            if unknown:
                lines.append(f"{sentences} not {what}: {', '.join(sorted(unknown))}")
    return lines
