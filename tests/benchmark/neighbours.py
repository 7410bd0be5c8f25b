"""Nearest neighbours against faiss: 100,000 x 100,000 x 768, top 4, embeddings of real sentences.

Both run in a process of their own, on the same threads and the same files, in turn. Half a minute
of training without a transformer layer gives embeddings of 768 that have the near-duplicates that
real ones have: the sample's sentences and their translations.
"""

import argparse
import gzip
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "neighbours"
SAMPLE = sorted((ROOT / "training" / "sample").glob("*.train.tsv.gz"))
ROWS, K, THREADS, ROUNDS = 100_000, 4, 2, 3
CHECKED, SORTED = 10_000, 2_000  # queries whose nearest, and all four, are looked for in float64
TRAINING = (
    "--num-layers 0 --hidden-size 768 --num-heads 12 --seq-length 32 --dropout 0 --cpu-replicas 2 "
    "--scale 20 --exponent 0.7 --warmup-steps 20 --steps 200 --batch-size 1024 --weight-decay 0 "
    "--learning-rate 5e-3 --clip-norm 0 --checkpoint-every 200 --intermediate-size 3072"
)
SYSTEMS = {
    "labse_tf bfloat16": "bfloat16",
    "labse_tf float32": "float32",
    "faiss IndexFlatIP": "faiss",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--system", choices=SYSTEMS.values(), help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.system:
        return _run(flags.system)
    _prepare()
    # A first round warms the disk's cache and the clock, and is not counted.
    rounds = [{name: _time(system) for name, system in SYSTEMS.items()} for _ in range(ROUNDS + 1)]
    _report(rounds[1:])


def _prepare() -> None:
    if (FOLDER / "candidates.npy").exists():
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    vocabulary = ROOT / "build" / "demo" / "vocab.txt"
    pairs = ["--pairs", *SAMPLE, "--vocab", vocabulary]
    for command in (
        ["training.dual_encoder", *pairs, *TRAINING.split(), "--workdir", FOLDER / "run"],
        ["export.saved_model", FOLDER / "run", FOLDER / "model"],
    ):
        subprocess.run([sys.executable, "-m", *map(str, command)], check=True, cwd=ROOT)
    import labse_tf

    model = labse_tf.load(FOLDER / "model")
    rows = []
    for path in SAMPLE:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            rows += [line.rstrip("\n").split("\t") for line in file]
    chosen = np.random.default_rng(0).permutation(len(rows))[:ROWS]
    for column, name in enumerate(("queries", "candidates")):
        np.save(FOLDER / f"{name}.npy", model.encode([rows[i][column] for i in chosen]))


def _time(system: str) -> dict:
    command = [sys.executable, "-m", "tests.benchmark.neighbours", "--system", system]
    environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS)}
    output = subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.PIPE)
    return json.loads(output.stdout)


def _run(system: str) -> None:
    """One search in this process: its time without imports and reading, and the peak memory."""
    queries, candidates = (np.load(FOLDER / f"{n}.npy") for n in ("queries", "candidates"))
    if system == "faiss":
        import faiss

        faiss.omp_set_num_threads(THREADS)

        def search(queries, candidates):
            index = faiss.IndexFlatIP(candidates.shape[1])
            index.add(candidates)
            return index.search(queries, K)
    else:
        import tensorflow as tf

        from labse_tf.search.nearest import nearest

        tf.config.threading.set_intra_op_parallelism_threads(THREADS)

        def search(queries, candidates):
            return nearest(queries, candidates, K, precision=system)

    search(queries[:2000], candidates[:5000])  # imports, tracing, thread pools
    begin = time.perf_counter()
    scores, rows = search(queries, candidates)
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    np.savez(FOLDER / f"{system}.npz", scores=scores, rows=rows)
    print(json.dumps({"seconds": seconds, "megabytes": peak}))


def _report(rounds: list[dict]) -> None:
    queries, candidates = (np.load(FOLDER / f"{n}.npy") for n in ("queries", "candidates"))
    checked = np.sort(np.random.default_rng(1).permutation(ROWS)[:CHECKED])
    rows, best = _by_definition(queries[checked], candidates)
    distinct = len(np.unique(candidates, axis=0))
    print(f"\n{ROWS:,} queries, {ROWS:,} candidates ({distinct:,} distinct), dim 768, top {K}")
    print(f"{THREADS} threads, {len(rounds)} interleaved rounds after one that is not counted")
    print(
        f"{'':20}{'seconds':>9}{'times faiss':>13}{'peak MB':>10}{'recall@1':>10}{'the same 4':>12}"
    )
    for name, system in SYSTEMS.items():
        seconds = np.median([r[name]["seconds"] for r in rounds])
        ratio = np.median([r["faiss IndexFlatIP"]["seconds"] / r[name]["seconds"] for r in rounds])
        peak = max(r[name]["megabytes"] for r in rounds)
        found = np.load(FOLDER / f"{system}.npz")["rows"][checked]
        # A candidate that is as near as the nearest is right, be it another row.
        products = np.sum(queries[checked].astype(np.float64) * candidates[found[:, 0]], axis=1)
        recall = np.mean(products >= best - 1e-7)
        print(
            f"{name:20}{seconds:>9.1f}{ratio:>13.2f}{peak:>10,.0f}{recall:>10.4%}"
            f"{np.mean(found[:SORTED] == rows):>12.4%}"
        )


def _by_definition(queries: np.ndarray, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest 4 by products in float64, of equal ones the first; and the best product."""
    rows, best = np.empty([SORTED, K], np.int64), np.empty(len(queries))
    transposed = candidates.T.astype(np.float64)
    for start in range(0, len(queries), 500):
        products = queries[start : start + 500].astype(np.float64) @ transposed
        best[start : start + 500] = products.max(axis=1)
        if start < SORTED:
            order = np.argsort(-products.astype(np.float32), axis=1, kind="stable")
            rows[start : start + 500] = order[:, :K]
    return rows, best


if __name__ == "__main__":
    main()
