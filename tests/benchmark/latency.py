"""One sentence a call, as a service embeds: python -m tests.benchmark.latency

1,000 held-out sentences of 14 languages, of all lengths, each in a call of its own: with LaBSE's
layers and random weights, with one thread and two, every system in a process of its own that is
suspended while another is asked, in turns of 100 sentences. Then the same through the gRPC client,
from a server in another process that stands in for TensorFlow Serving.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.benchmark.speed import make_model
from tests.benchmark.speed_processes import ENVIRONMENT, ROOT, WorkerProcess
from tests.benchmark.systems import SYSTEMS, missing_packages

COMPARED = (
    "labse_tf-bfloat16", "openvino-float32", "openvino-bfloat16", "openvino-int8",
    "quantized-int8", "saved_model-float32",
    "sentence_transformers-bfloat16", "onnxruntime-int8",
)  # fmt: skip
TURN = 100


def main() -> None:
    """Prints a Markdown table: median and 99th percentile in ms."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=["base", "labse-mini", "tiny"], default="base")
    parser.add_argument("--sentences", type=int, default=1000, help="(default: %(default)s)")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=COMPARED, metavar="NAME")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], metavar="N")
    parser.add_argument("--workdir", type=Path, help="where the model is made, or was made before")
    flags = parser.parse_args()
    missing = {name: missing_packages(SYSTEMS[name]) for name in flags.systems}
    names = [name for name in flags.systems if not missing[name]]
    with tempfile.TemporaryDirectory(prefix="labse_tf-latency-") as temporary:
        folder = Path(flags.workdir or temporary).absolute() / flags.size
        make_model(folder, flags.size, names)
        found = {
            threads: measure(names, folder, threads, flags.sentences) for threads in flags.threads
        }
        served = measure_served(folder, flags.sentences)
    header = [f"{n} thread{'s' * (n > 1)}: p50 / p99, ms" for n in flags.threads]
    print("| " + " | ".join(["system", *header]) + " |")
    print("|---" + "|---:" * len(header) + "|")
    for name in flags.systems:
        cells = [_cell(found[n][name]) if name in names else "" for n in flags.threads]
        if missing[name]:
            cells[0] = f"not installed: {', '.join(missing[name])}"
        print(f"| {SYSTEMS[name].label} {SYSTEMS[name].precision} | " + " | ".join(cells) + " |")
    all_cores = f"through the gRPC client, all cores: {_cell(served)}"
    print(f"\nits SavedModel in float32 behind a server, {all_cores}")


def measure(names: list[str], folder: Path, threads: int, count: int) -> dict[str, list[float]]:
    """Seconds of each call, by system."""
    workers: list[WorkerProcess] = []
    seconds: dict[str, list[float]] = {name: [] for name in names}
    try:
        for name in names:
            workers.append(WorkerProcess(name, folder, threads, count))
            workers[-1].ask("one_by_one", start=0, end=count, step=3)  # not counted
        for start in range(0, count, TURN):
            for worker in workers:
                answer = worker.ask("one_by_one", start=start, end=start + TURN)
                seconds[worker.name] += answer["seconds"]
            workers.reverse()
    finally:
        for worker in workers:
            worker.kill()
    return seconds


def measure_served(folder: Path, count: int) -> list[float]:
    """Seconds of each call of the gRPC client."""
    from labse_tf.serving.client import EmbeddingClient

    sentences = json.loads((folder / "sentences.json").read_text(encoding="utf-8"))["sentences"]
    version = folder / "served" / "labse" / "1"
    if not version.exists():
        shutil.copytree(folder / "release", version)
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.serving.model_server", os.fspath(folder / "served")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        cwd=ROOT, env=ENVIRONMENT,
    )  # fmt: skip
    try:
        address = server.stdout.readline().split()[0]
        with EmbeddingClient(address) as client:
            for sentence in sentences[:count]:
                client.encode([sentence])
            seconds = []
            for sentence in sentences[:count]:
                start = time.perf_counter()
                client.encode([sentence])
                seconds.append(time.perf_counter() - start)
    finally:
        server.communicate("")
    return seconds


def _cell(seconds: list[float]) -> str:
    middle, last = np.percentile(seconds, [50, 99]) * 1000
    return f"{middle:.1f} / {last:.1f}"


if __name__ == "__main__":
    main()
