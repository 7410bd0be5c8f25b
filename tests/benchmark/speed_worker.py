"""A worker process of the speed benchmark: it has one system and does what its parent says.

python -m tests.benchmark.speed_worker SYSTEM FOLDER THREADS SENTENCES

It reads an order a line (JSON) on stdin and answers each with a line (JSON) on stdout.
"""

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from tests.benchmark.systems import SYSTEMS

SHORT_SENTENCES, SHORT = 10, range(8, 15)  # tokens, so 6 to 12 word pieces


class Worker:
    """The orders by name; what they return is the answer."""

    def __init__(self, name, folder, threads, count):
        system = SYSTEMS[name]
        contents = json.loads((folder / "sentences.json").read_text(encoding="utf-8"))
        sentences, tokens = contents["sentences"][:count], contents["tokens"][:count]
        self.all = sentences
        self.sentences = sentences[: system.most]
        short = (s for s, n in zip(sentences, tokens) if n in SHORT)
        self.short = [s for s, _ in zip(short, range(SHORT_SENTENCES))]
        start = time.perf_counter()
        self.embed = system.start(folder, threads, system.precision)
        self.seconds_to_load = time.perf_counter() - start

    def warm_up(self):
        """All that is timed later, once: traces graphs, fills oneDNN's caches of each shape."""
        self.throughput()
        self.latency()
        return {"seconds_to_load": self.seconds_to_load}

    def embed_first(self, count, output):
        np.save(output, np.asarray(self.embed(self.all[:count]), np.float32))
        return {}

    def throughput(self):
        seconds, embeddings = _timed(self.embed, self.sentences)
        assert len(embeddings) == len(self.sentences)
        return {"sentences": len(self.sentences), "seconds": seconds}

    def latency(self):
        return {"seconds": [_timed(self.embed, [sentence])[0] for sentence in self.short]}

    def one_by_one(self, start, end, step=1):
        sentences = self.all[start:end:step]
        return {"seconds": [_timed(self.embed, [sentence])[0] for sentence in sentences]}

    def memory(self):
        with open("/proc/self/status") as file:
            peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
        return {"peak_bytes": 1024 * peak}


def _timed(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def main(name, folder, threads, count):
    # Stopped as it mostly is, it would outlive a parent that is killed: PR_SET_PDEATHSIG.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    # What a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # Whatever a library thinks of the number of threads, it has no other cores.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
    worker = Worker(name, Path(folder), int(threads), int(count))
    for line in sys.stdin:
        order = json.loads(line)
        answer = getattr(worker, order.pop("order"))(**order)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
