"""Seconds to the first embedding: of `labse_tf.load` and the bare SavedModel, and of a command.

Each in a fresh process, in turn; the files are in the page cache (a worker has read them). Of the
first two the clock starts when the imports are done: what is compared is reading the files and
making graphs. Of `labse encode`, with either backend, it starts with the process.
"""

import os
import subprocess
import sys
import tempfile
import time
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


COMMAND = """
import os, sys
release, threads, backend, folder = sys.argv[1:]
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:int(threads)])
os.environ["TF_NUM_INTRAOP_THREADS"] = threads
from labse_tf.commands.main import main
main(["encode", f"{folder}/one.txt", "--output", f"{folder}/one.npy", "--model", release,
      "--backend", backend])
"""


def measure_start(release: Path, threads: int, times: int) -> dict[str, list[float]]:
    """Seconds of each of `times` starts; of `labse encode`, of the whole process."""
    seconds: dict[str, list[float]] = {
        who: [] for who in ("labse_tf", "saved_model", "tensorflow", "openvino")
    }
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "one.txt").write_text("Where is the station?\n")
        for _ in range(times):
            for who, found in seconds.items():
                is_command = who in ("tensorflow", "openvino")
                code = [COMMAND if is_command else MEASURE, os.fspath(release), str(threads), who]
                began = time.perf_counter()
                run = subprocess.run(
                    [sys.executable, "-c", *code, *[folder] * is_command],
                    cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True,
                )  # fmt: skip
                took = time.perf_counter() - began
                if run.returncode:
                    raise SystemExit(f"Starting {who} failed:\n{run.stderr[-2000:]}")
                found.append(took if is_command else float(run.stdout.split()[-1]))
                (Path(folder) / "one.npy").unlink(missing_ok=True)
    return seconds
