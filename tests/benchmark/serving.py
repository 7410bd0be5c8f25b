"""Load on a release as TensorFlow Serving runs it: python -m tests.benchmark.serving [RELEASE]

A C++ program loads the release, replays nothing, and runs `serving_default` on one short sentence a
request, with 1, 8 and 32 clients that each wait for their answer. It stands in for
tensorflow_model_server, without its network and its batching.
"""

from __future__ import annotations

import argparse
import glob
import gzip
import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from tests.serving.build import build, serve

CLIENTS = (1, 8, 32)
WARMUP = 2000
REQUESTS = 10_000


def short_sentences() -> list[str]:
    """Held-out sentences of the sample, of 13 languages and English, of at most 40 letters."""
    sentences = []
    for name in sorted(glob.glob("training/sample/*.heldout.tsv.gz")):
        with gzip.open(name, "rt", encoding="utf-8") as file:
            sentences += [side for line in file for side in line.rstrip("\n").split("\t")]
    return [sentence for sentence in sentences if len(sentence) <= 40]


def main() -> None:
    """Prints requests per second, latencies and memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("release", nargs="?", default="build/demo/model")
    release = parser.parse_args().release
    sentences = short_sentences()
    print(f"{release}, {len(sentences):,} sentences, one a request, {os.cpu_count()} cores")
    counts = [1, WARMUP, *(n for clients in CLIENTS for n in (clients, REQUESTS))]
    process = serve(build(), release, "load", *counts, sentences=sentences)
    if process.returncode:
        raise SystemExit(process.stderr.decode())
    warm, *measured = map(json.loads, process.stdout.decode().splitlines())
    print("clients  requests/s   p50, ms   p99, ms")
    for row in measured:
        print(
            f"{row['clients']:7}  {row['per_second']:10,.0f}  {row['p50_ms']:8.2f}  "
            f"{row['p99_ms']:8.2f}"
        )
    stages = [("loaded", warm["rss_before_kb"]), (f"{WARMUP:,} requests", warm["rss_after_kb"])]
    for i, row in enumerate(measured, 1):
        stages.append((f"{WARMUP + i * REQUESTS:,} requests", row["rss_after_kb"]))
    print("resident memory: " + ", ".join(f"{kb / 1000:,.1f} MB ({what})" for what, kb in stages))


if __name__ == "__main__":
    main()
