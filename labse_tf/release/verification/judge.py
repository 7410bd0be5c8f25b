"""Judges what a reader in a fresh process saw of a SavedModel."""

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

from labse_tf.release.verification.promises import (
    PROMISES,
    Broken,
    Seen,
    equal,
    equal_bits,
    value,
)


class Finding(NamedTuple):
    """One promise of the release format, whether it holds, and what was seen."""

    promise: str
    holds: bool
    found: str


def verify(path: str | os.PathLike, against: str | os.PathLike | None = None) -> list[Finding]:
    """Checks every promise of the release format, each in fresh processes without labse_tf.

    Args:
        path: directory of a release, or of any SavedModel: what it lacks is found then.
        against: another SavedModel whose embeddings must be the same.

    Raises:
        FileNotFoundError: there is no such directory.
        RuntimeError: a reading process died; the message has its last words.
    """
    for name in filter(None, (path, against)):
        if not os.path.isdir(name):
            raise FileNotFoundError(f"There is no directory {os.fspath(name)!r}.")
    seen = _read(path)
    findings = [_tell("loads with tensorflow_text alone", lambda: value(seen.facts, "load"))]
    if not findings[0].holds:
        return findings
    findings += [_tell(promise, lambda judge=judge: judge(seen)) for promise, judge in PROMISES]
    findings.append(_tell("deterministic", lambda: equal_bits(seen, _read(path))))
    if against is not None:
        other = _read(against)
        findings.append(_tell(f"equal to {against}", lambda: equal(seen, other)))
    return findings


def table(findings: list[Finding]) -> str:
    """A line for each promise: yes or NO, the promise, what was seen."""
    width = max(len(finding.promise) for finding in findings)
    return "\n".join(
        f"{'yes' if f.holds else 'NO ':3}  {f.promise:{width}}  {f.found}".rstrip()
        for f in findings
    )


def _read(path: str | os.PathLike) -> Seen:
    with tempfile.TemporaryDirectory() as folder:
        output = os.path.join(folder, "seen")
        reader = Path(__file__).with_name("reader.py")
        process = subprocess.run(
            [sys.executable, str(reader), os.path.abspath(path), output],
            capture_output=True,
            text=True,
            errors="replace",
        )
        if process.returncode:
            raise RuntimeError(
                f"The process that read {os.fspath(path)!r} ended with status "
                f"{process.returncode}: {process.stderr[-1000:]}"
            )
        with open(f"{output}.json", encoding="utf-8") as file:
            facts = json.load(file)
        with np.load(f"{output}.npz") as arrays:
            return Seen(facts, dict(arrays))


def _tell(promise: str, judge: Callable[[], object]) -> Finding:
    try:
        found = judge()
    except Broken as broken:
        return Finding(promise, False, str(broken).replace("\n", " ")[:200])
    return Finding(promise, True, found if isinstance(found, str) else "")
