"""Runs the checks of the release format on a SavedModel that fresh processes inspected."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from labse_tf.encoder.encoder import INPUTS
from labse_tf.release.verification.checks import (
    CHECKS,
    SENTENCES,
    CheckFailed,
    Inspection,
    deterministic,
    same_embeddings,
    value,
)
from labse_tf.release.warmup import WARMUP_FILE

INSPECTOR = Path(__file__).with_name("inspector.py")


class CheckResult(NamedTuple):
    """One requirement of the release format, whether it is met, and what was found."""

    name: str
    passed: bool
    found: str


def verify(path: str | os.PathLike, against: str | os.PathLike | None = None) -> list[CheckResult]:
    """Checks a SavedModel against the release format, from fresh processes without labse_tf.

    Args:
        path: directory of a release, or of any SavedModel: the results say what it lacks.
        against: another SavedModel whose embeddings must be the same.

    Raises:
        FileNotFoundError: there is no such directory.
        RuntimeError: an inspecting process died; the message has the end of its stderr.
    """
    for name in filter(None, (path, against)):
        if not os.path.isdir(name):
            raise FileNotFoundError(f"There is no directory {os.fspath(name)!r}.")
    model = _inspect(path)
    results = [_run("loads with tensorflow_text alone", lambda: value(model.facts, "load"))]
    if not results[0].passed:
        return results
    results += [_run(name, lambda check=check: check(model)) for name, check in CHECKS]
    results.append(_run("deterministic", lambda: deterministic(model, _inspect(path))))
    if against is not None:
        other = _inspect(against)
        results.append(_run(f"equal to {against}", lambda: same_embeddings(model, other)))
    return results


def table(results: list[CheckResult]) -> str:
    """A line for each check: yes or NO, its name, what was found."""
    width = max(len(result.name) for result in results)
    return "\n".join(
        f"{'yes' if r.passed else 'NO ':3}  {r.name:{width}}  {r.found}".rstrip() for r in results
    )


def _inspect(path: str | os.PathLike) -> Inspection:
    """What `inspector.py` finds in a fresh process."""
    # Handed over, since it cannot import them.
    given = {"inputs": INPUTS, "sentences": SENTENCES, "warmup_file": WARMUP_FILE}
    with tempfile.TemporaryDirectory() as folder:
        output = os.path.join(folder, "found")
        process = _fresh_process(INSPECTOR, os.path.abspath(path), output, json.dumps(given))
        if process.returncode:
            raise RuntimeError(
                f"The process that inspected {os.fspath(path)!r} ended with status "
                f"{process.returncode}: {process.stderr[-1000:]}"
            )
        with open(f"{output}.json", encoding="utf-8") as file:
            facts = json.load(file)
        with np.load(f"{output}.npz") as arrays:
            return Inspection(facts, dict(arrays))


def _fresh_process(*arguments: str | os.PathLike) -> subprocess.CompletedProcess:
    """A new Python, with stdout and stderr as text."""
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, errors="replace"
    )


def _run(name: str, check: Callable[[], object]) -> CheckResult:
    try:
        found = check()
    except CheckFailed as failed:
        return CheckResult(name, False, str(failed).replace("\n", " ")[:200])
    return CheckResult(name, True, found if isinstance(found, str) else "")
