"""The results of a model on several benchmarks, with all that tells what was measured."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import json
import math
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from labse_tf.evaluation.recorder import Recorder
from labse_tf.files.atomic import atomic_file
from labse_tf.version import __version__

FORMAT = "labse_tf evaluation 1"
EXPECTED = "Expected what `labse evaluate MODEL ... --output FILE` writes."
_PACKAGES = ("tensorflow", "tensorflow-text", "tf_keras", "numpy", "scipy", "scikit-learn")


def measure(
    encode: Callable[[list[str]], np.ndarray],
    benchmarks: Sequence[tuple[Callable, str | os.PathLike | None]],
    *,
    model: Mapping[str, Any],
    command: str = "",
    output: str | os.PathLike | None = None,
    show_metrics: bool = False,
    show_progress: bool | None = False,
) -> dict[str, Any]:
    """Runs benchmarks one after the other.

    A language or task that fails is recorded under "failures", and the rest goes on. What is
    known is written after each benchmark, and before any other error, or an interrupt, is raised.

    Args:
        encode: from a list of strings to an array [sentences, dim].
        benchmarks: evaluators, as `Tatoeba()`, with their directories.
        model: what to say of it: its "name", and whatever else, as its "fingerprint".
        command: how it was called.
        output: a JSON file to write.
        show_metrics: whether to write a line a part to stdout.
        show_progress: whether to draw progress bars on stderr; None: if it is a terminal.

    Returns:
        What is written: see the README.

    Raises:
        FileExistsError: `output` exists.
        FileNotFoundError, ValueError: a directory or an option is wrong; nothing was measured yet.
    """
    if output is not None and os.path.lexists(output):
        raise FileExistsError(f"{os.fspath(output)!r} exists. Choose another path, or remove it.")
    for benchmark, data_dir in benchmarks:
        benchmark.check(data_dir)
    results: dict[str, Any] = {
        "format": FORMAT,
        "model": dict(model),
        "command": command,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "seconds": 0.0,
        "system": _system(),
        "benchmarks": [],
    }
    begun = time.monotonic()
    for benchmark, data_dir in benchmarks:
        recorder = Recorder(benchmark.name, show_metrics, show_progress)
        start = time.monotonic()
        try:
            benchmark(encode, data_dir, recorder)
        except BaseException as error:
            recorder.failures[benchmark.name] = str(error) or type(error).__name__
            raise
        finally:
            results["benchmarks"].append(
                _benchmark(benchmark, data_dir, recorder, time.monotonic() - start)
            )
            results["seconds"] = round(time.monotonic() - begun, 1)
            if output is not None:
                write_json(results, output)
    return results


def failures(results: Mapping[str, Any]) -> list[str]:
    """What failed, a line each."""
    return [
        f"{benchmark['name']}, {part}: {message}"
        for benchmark in results["benchmarks"]
        for part, message in benchmark["failures"].items()
    ]


def write_json(results: Mapping[str, Any], output: str | os.PathLike) -> None:
    """Writes results in one step: a file that was there is replaced whole, or not at all.

    NaN and infinity, which JSON has not, are written as null.
    """
    with atomic_file(output) as file:
        json.dump(_finite(results), file, ensure_ascii=False, indent=1, allow_nan=False)
        file.write("\n")


def read_results(path: str | os.PathLike) -> dict[str, Any]:
    """The results of one model.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no JSON, or not of this format; the message names the file.
    """
    path = os.fspath(path)
    try:
        with open(path, encoding="utf-8") as file:
            results = json.load(file)
    except ValueError as error:  # of JSON and of UTF-8
        raise ValueError(f"{path}: not JSON: {error}. {EXPECTED}") from error
    if not isinstance(results, dict) or results.get("format") != FORMAT:
        found = results.get("format") if isinstance(results, dict) else type(results).__name__
        raise ValueError(f"{path}: the format is {found!r}, not {FORMAT!r}. {EXPECTED}")
    model, benchmarks = results.get("model"), results.get("benchmarks")
    if not isinstance(model, dict) or not isinstance(model.get("name"), str):
        raise ValueError(f"{path}: there is no name of a model. {EXPECTED}")
    if not isinstance(benchmarks, list) or not all(map(_is_benchmark, benchmarks)):
        raise ValueError(f"{path}: a benchmark has no name or no figures. {EXPECTED}")
    return results


def _benchmark(benchmark, data_dir, recorder: Recorder, seconds: float) -> dict[str, Any]:
    return {
        "name": benchmark.name,
        "options": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(benchmark).items()
        },
        "data": {
            "directory": None if data_dir is None else os.fspath(data_dir),
            "files": recorder.files,
        },
        "seconds": round(seconds, 1),
        "figures": recorder.metrics,
        "scripts": recorder.scripts,
        "published": recorder.published,
        "curves": recorder.curves,
        "failures": recorder.failures,
    }


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_benchmark(benchmark: Any) -> bool:
    return (
        isinstance(benchmark, dict)
        and isinstance(benchmark.get("name"), str)
        and isinstance(benchmark.get("figures"), dict)
        and all(
            "/" in key and (value is None or isinstance(value, (int, float)))
            for key, value in benchmark["figures"].items()
        )
    )


def _system() -> dict[str, Any]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # an extra that is not installed
            continue
    return {
        "python": platform.python_version(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "labse_tf": __version__,
        **versions,
    }


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine()
