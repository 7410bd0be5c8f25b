"""100,000 random requests to a release: python -m tests.benchmark.soak [RELEASE] [--requests N]

Ends with status 1 if an answer is not of unit rows, or of another batch size than the request's.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the ops

from tests.benchmark.serving import short_sentences

MARKS = "\u0301\u0308\u20dd\u200d\ufe0f"


def random_sentence(rng: random.Random, real: list[str]) -> tuple[str, bytes]:
    """What kind it is, and the bytes."""
    kind = rng.choice(("real", "bytes", "unicode", "marks", "surrogates", "NUL", "empty", "joined"))
    sentence = rng.choice(real)
    if kind == "real":
        return kind, sentence.encode()
    if kind == "bytes":
        return kind, rng.randbytes(rng.randrange(200))
    if kind == "unicode":
        points = (rng.randrange(0x110000) for _ in range(rng.randrange(60)))
        return kind, "".join(map(chr, points)).encode("utf-8", "surrogatepass")
    if kind == "marks":
        return kind, "".join(rng.choices(MARKS, k=rng.randrange(1, 50))).encode()
    if kind == "surrogates":
        return kind, sentence.encode() + bytes([0xED, rng.randrange(0xA0, 0xC0), 0x80])
    if kind == "NUL":
        return kind, sentence.encode().replace(b" ", b"\0")
    if kind == "empty":
        return kind, rng.choice((b"", b" ", b"\n\t", "\u2003".encode()))
    return kind, " ".join(rng.choices(real, k=rng.randrange(1, 40))).encode()


def resident() -> float:
    """MB of resident memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    """Sends the requests; prints counts, failures and memory on the way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("release", nargs="?", default="build/demo/model")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    flags = parser.parse_args()
    serve = tf.saved_model.load(flags.release).signatures["serving_default"]
    rng, real = random.Random(flags.seed), short_sentences()
    kinds: collections.Counter[str] = collections.Counter()
    failures, memory, start = [], [], time.monotonic()
    for number in range(1, flags.requests + 1):
        size = rng.choices((0, 1, 2, 5, 20), (1, 60, 20, 10, 2))[0]
        drawn = [random_sentence(rng, real) for _ in range(size)]
        kinds.update(kind for kind, _ in drawn)
        sentences = [sentence for _, sentence in drawn]
        rows = serve(sentences=tf.constant(sentences, tf.string))["embeddings"].numpy()
        # NaN is not below 1e-5 either.
        if len(rows) != size or not (np.abs(np.linalg.norm(rows, axis=1) - 1) < 1e-5).all():
            failures.append((number, sentences))
        if number % max(1, flags.requests // 10) == 0:
            memory.append(resident())
    print(
        f"{flags.requests:,} requests, {sum(kinds.values()):,} sentences in "
        f"{time.monotonic() - start:,.0f} s: {len(failures)} failures"
    )
    print("sentences: " + ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common()))
    print("resident MB after each tenth: " + " ".join(f"{mb:,.0f}" for mb in memory))
    for number, sentences in failures[:5]:
        print(f"request {number}: {sentences}", file=sys.stderr)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
