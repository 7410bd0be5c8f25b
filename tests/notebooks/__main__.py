"""Runs the notebooks of colab/ and compares what they print: python -m tests.notebooks --help"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import nbformat

from tests.notebooks.comparing import differences
from tests.notebooks.executing import ROOT, NotebookFailed, executed, tidied

FOLDER = ROOT / "colab"
LIMIT = 180  # seconds, on two cores


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 1 if a notebook failed, took too long or prints something else."""
    names = sorted(path.name for path in FOLDER.glob("*.ipynb"))
    parser = argparse.ArgumentParser(
        prog="python -m tests.notebooks",
        description="Runs each notebook of colab/ in a kernel of its own. Fails if a cell raises, "
        "if a cell tagged `stable` prints something else than the file says, or if a notebook "
        "takes longer than it may.",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which (default: all): {', '.join(names)}"
    )
    parser.add_argument("--write", action="store_true", help="keep the new outputs in the files")
    parser.add_argument(
        "--limit", type=float, default=LIMIT, help="seconds for a notebook (default: %(default)s)"
    )
    flags = parser.parse_args(arguments)
    if unknown := sorted(set(flags.names) - set(names)):
        parser.error(f"there is no {', '.join(unknown)} in colab/, which has {', '.join(names)}")
    problems = [
        problem
        for name in flags.names or names
        for problem in check(FOLDER / name, flags.write, flags.limit)
    ]
    for problem in problems:
        print(f"\n{problem}", file=sys.stderr)
    return int(bool(problems))


def check(path: Path, write: bool, limit: float) -> list[str]:
    """What is wrong with a notebook when it is run; with `write` its file has the outputs then."""
    name = str(path.relative_to(ROOT))
    kept = nbformat.read(path, as_version=4)
    begin = time.monotonic()
    try:
        new, stderr = tidied(executed(kept, name), kept)
    except NotebookFailed as error:
        print(f"{name}: failed", flush=True)
        return [str(error)]
    seconds = time.monotonic() - begin
    problems = differences(kept, new, name)
    if write:
        with open(path, "w", encoding="utf-8") as file:
            nbformat.write(new, file)
        problems = []
    elif problems:
        problems.append(f"If that is right, keep it: python -m tests.notebooks {path.name} --write")
    if seconds > limit:
        problems.append(f"{name} took {seconds:.0f} s, but may take {limit:.0f} s.")
    state = "written" if write else "failed" if problems else "as kept"
    print(f"{name}: {seconds:.0f} s, {state}", flush=True)
    if stderr:
        print(f"{name} wrote to stderr, which is not kept:\n{stderr}", file=sys.stderr)
    return problems


if __name__ == "__main__":
    raise SystemExit(main())
