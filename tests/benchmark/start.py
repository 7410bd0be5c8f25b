"""What the start of `labse encode` is spent on: python -m tests.benchmark.start [--model MODEL]

One sentence, from the start of the process to its end, with either backend: medians of fresh
processes in turn, with the model's files in the page cache. Then once more with `-X importtime`:
the seconds of importing each package, without what it imports of others.
"""

from __future__ import annotations

import argparse
import collections
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from labse_tf.models import NAME
from tests.benchmark.speed_processes import ENVIRONMENT, ROOT

BACKENDS = ("tensorflow", "openvino")
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \| +([\w.]+)")
_SHOWN = 8  # packages


def main() -> None:
    """Prints for both backends the seconds and the memory, and what they are spent on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=NAME)
    parser.add_argument("--times", type=int, default=7, help="(default: %(default)s)")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "one.txt").write_text("Where is the station?\n")
        runs = {backend: [] for backend in BACKENDS}
        for backend in BACKENDS:
            encode(folder, flags.model, backend)  # reads the files
        for _ in range(flags.times):
            for backend, found in runs.items():
                found.append(encode(folder, flags.model, backend)[:2])
        print(f"one sentence by {flags.model}: labse encode")
        for backend, found in runs.items():
            seconds, peak = np.median(found, axis=0)
            print(f"--backend {backend:12}{seconds:6.2f} s {peak / 1e6:8.0f} MB at most")
        for backend in BACKENDS:
            seconds, _, errors = encode(folder, flags.model, backend, "-X", "importtime")
            print(f"\n--backend {backend}, {seconds:.2f} s under -X importtime")
            describe(seconds, errors)


def encode(folder: Path, model: str, backend: str, *options: str) -> tuple[float, int, str]:
    """Seconds of the process, the peak of its resident memory in bytes, and its stderr."""
    output = folder / "one.npy"
    output.unlink(missing_ok=True)
    command = [
        sys.executable, *options, "-m", "labse_tf.commands.main", "encode", str(folder / "one.txt"),
        "--output", str(output), "--model", model, "--backend", backend,
    ]  # fmt: skip
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=errors
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        text = errors.read()
    if process.returncode:
        raise SystemExit(f"labse encode failed:\n{text[-2000:]}")
    return seconds, usage.ru_maxrss * 1024, text


def describe(seconds: float, errors: str) -> None:
    """Prints the packages whose imports took longest, and what is left."""
    packages: collections.Counter[str] = collections.Counter()
    for microseconds, module in _IMPORT.findall(errors):
        packages[module.partition(".")[0]] += int(microseconds) / 1e6
    for package, took in packages.most_common(_SHOWN):
        print(f"    {took:6.3f} s  import {package}")
    others = packages.most_common()[_SHOWN:]
    print(f"    {sum(took for _, took in others):6.3f} s  import {len(others)} other packages")
    rest = seconds - packages.total()
    print(f"    {rest:6.3f} s  all else: starting Python, reading the model, graphs, embedding")


if __name__ == "__main__":
    main()
