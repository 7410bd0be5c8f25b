"""Seconds to the first embedding: `labse_tf.load`, and the bare SavedModel beside it.

Each in a fresh process, in turn. Before the clock starts the imports are done and the files are in
the page cache (a worker has read them): what is compared is reading them and making graphs.
"""

import os
import subprocess
import sys
from pathlib import Path

from tests.benchmark.speed_processes import ENVIRONMENT, ROOT

MEASURE = """
import os, sys, time
release, threads, who = sys.argv[1:]
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:int(threads)])
import tensorflow as tf, tensorflow_text
tf.config.threading.set_intra_op_parallelism_threads(int(threads))
if who == "labse_tf":
    import labse_tf
start = time.perf_counter()
if who == "labse_tf":
    embeddings = labse_tf.load(release).encode(["Where is the station?"])
else:
    embeddings = tf.saved_model.load(release)(tf.constant(["Where is the station?"])).numpy()
seconds = time.perf_counter() - start
assert embeddings.shape[0] == 1
print(seconds)
"""


def measure_start(release: Path, threads: int, times: int) -> dict[str, list[float]]:
    """Seconds of each of `times` starts."""
    seconds: dict[str, list[float]] = {"labse_tf": [], "saved_model": []}
    for _ in range(times):
        for who, found in seconds.items():
            command = [sys.executable, "-c", MEASURE, os.fspath(release), str(threads), who]
            run = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
            if run.returncode:
                raise SystemExit(f"Starting {who} failed:\n{run.stderr[-2000:]}")
            found.append(float(run.stdout.split()[-1]))
    return seconds
