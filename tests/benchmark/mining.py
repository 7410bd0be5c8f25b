"""Mining: exact search both ways against faiss, inverted lists against exact search, a million.

On embeddings of the sample's sentences by labse-mini. Each search runs in a process of its own, on
the same threads and the same files, in turn.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from labse_tf.models import NAME
from tests.benchmark.sample import joined_pairs, sample_pairs

ROOT = Path(__file__).parents[2]
ROWS, K, THREADS, ROUNDS = 100_000, 4, 2, 3
MILLION = 1_000_000
SYSTEMS = {
    "labse_tf bfloat16": "bfloat16",
    "labse_tf float32": "float32",
    "faiss IndexFlatIP": "faiss",
}
_NAMES = ("sources", "targets")
LISTS = ((316, 8, 4), (316, 4, 4), (512, 8, 4), (1024, 8, 4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="exact, lists, million")
    parser.add_argument("--model", default=NAME)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "mining")
    parser.add_argument("--rows", type=int, default=ROWS, help="sentences a side")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--million", type=int, default=MILLION, help="of the part million")
    parser.add_argument("--faiss", default=sys.executable, help="a Python that has faiss")
    parser.add_argument("--system", choices=SYSTEMS.values(), help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.system:
        return _run(flags.system, flags.folder)
    flags.folder.mkdir(parents=True, exist_ok=True)
    parts = flags.parts or ["exact", "lists", "million"]
    if set(parts) & {"exact", "lists"}:
        _prepare(flags)
    for part in parts:
        {"exact": _exact, "lists": _lists, "million": _million}[part](flags)


def _prepare(flags) -> None:
    """sources.npy and targets.npy; of 30% of them the partner is missing, as in a crawl."""
    import labse_tf

    model = labse_tf.load(flags.model)
    pairs = sample_pairs()
    shared = min(int(flags.rows * 0.7), len(pairs) - 2)
    rest = min(flags.rows - shared, (len(pairs) - shared) // 2)
    columns = (
        [p[0] for p in pairs[: shared + rest]],
        [p[1] for p in (*pairs[:shared], *pairs[shared + rest : shared + 2 * rest])],
    )
    for name, texts in zip(("sources", "targets"), columns):
        np.save(flags.folder / f"{name}.npy", model.encode(texts))
    np.save(flags.folder / "shared.npy", shared)


def _exact(flags) -> None:
    rounds = []
    for _ in range(flags.rounds + 1):  # the first warms the disk's cache and the clock
        rounds.append({name: _time(system, flags) for name, system in SYSTEMS.items()})
    sources, targets = (np.load(flags.folder / f"{n}.npy", mmap_mode="r") for n in _NAMES)
    print(f"\n{len(sources):,} x {len(targets):,} x {sources.shape[1]}, both ways, {K} neighbours,")
    print(f"ratio margin, mutual pairs; {THREADS} threads, {flags.rounds} interleaved rounds")
    print(f"{'':20}{'seconds':>9}{'times faiss':>13}{'peak MB':>10}{'pairs of faiss':>16}")
    reference = _found("faiss", flags.folder)
    for name, system in SYSTEMS.items():
        times = [of[name]["seconds"] for of in rounds[1:]]
        ratio = np.median(
            [of["faiss IndexFlatIP"]["seconds"] / of[name]["seconds"] for of in rounds[1:]]
        )
        peak = max(of[name]["megabytes"] for of in rounds)
        same = len(_found(system, flags.folder) & reference) / len(reference)
        print(f"{name:20}{np.median(times):>9.1f}{ratio:>13.2f}{peak:>10,.0f}{same:>16.4%}")


def _found(system: str, folder: Path) -> set[tuple[int, int]]:
    return set(map(tuple, np.load(folder / f"{system}.npy").tolist()))


def _time(system: str, flags) -> dict:
    python = flags.faiss if system == "faiss" else sys.executable
    command = [python, "-m", "tests.benchmark.mining", "--system", system]
    environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS)}
    output = subprocess.run(
        [*command, "--folder", flags.folder],
        check=True, cwd=ROOT, env=environment, stdout=subprocess.PIPE,
    )  # fmt: skip
    return json.loads(output.stdout)


def _run(system: str, folder: Path) -> None:
    """Mutual pairs, in this process: the time without imports and reading, and the peak memory."""
    sources, targets = (np.load(folder / f"{n}.npy") for n in _NAMES)
    if system == "faiss":
        import faiss

        faiss.omp_set_num_threads(THREADS)

        def mutual(sources, targets):
            """LASER's steps (source/mine_bitexts.py) on faiss' exact index."""
            near = []
            for queries, candidates in ((sources, targets), (targets, sources)):
                index = faiss.IndexFlatIP(candidates.shape[1])
                index.add(candidates)
                near.append(index.search(queries, K))
            means = [scores.mean(axis=1) for scores, _ in near]
            best = []
            for (scores, rows), own, other in zip(near, means, means[::-1]):
                margins = scores / ((own[:, None] + other[rows]) / 2)
                best.append(rows[np.arange(len(rows)), margins.argmax(axis=1)])
            places = np.arange(len(best[0]))
            places = places[best[1][best[0]] == places]
            return np.stack([places, best[0][places]], axis=1)
    else:
        import tensorflow as tf

        from labse_tf.search.margins import align

        tf.config.threading.set_intra_op_parallelism_threads(THREADS)

        def mutual(sources, targets):
            return align(sources, targets, k=K, precision=system).pairs("mutual")[0]

    mutual(sources[:2000], targets[:5000])  # imports, tracing, thread pools
    begin = time.perf_counter()
    pairs = mutual(sources, targets)
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    np.save(folder / f"{system}.npy", pairs)
    print(json.dumps({"seconds": seconds, "megabytes": peak}))


def _lists(flags) -> None:
    """F1 of pairs by lists, the threshold chosen best for each, and the share of products."""
    from labse_tf.evaluation.benchmarks.mining import Ranked
    from labse_tf.search.list_search import Lists, make_lists, nearest_in_lists
    from labse_tf.search.margins import align, align_neighbours
    from labse_tf.search.nearest import nearest

    sources, targets = (np.load(flags.folder / f"{n}.npy") for n in _NAMES)
    shared = int(np.load(flags.folder / "shared.npy"))

    def best(aligned) -> tuple[float, float]:
        pairs, scores = aligned.pairs("mutual")
        right = (pairs[:, 0] == pairs[:, 1]) & (pairs[:, 0] < shared)
        threshold, f1 = Ranked(scores, right, shared).best()
        return f1, threshold

    begin = time.perf_counter()
    exact = align(sources, targets, k=K, precision="bfloat16")
    seconds = time.perf_counter() - begin
    f1, threshold = best(exact)
    nearest_rows = nearest(sources, targets, precision="bfloat16")[1][:, 0]
    print(f"\n{len(sources):,} x {len(targets):,} sentences, {shared:,} pairs; lists, of a source,")
    print("of a target; the nearest target of each source that is found")
    print(f"{'':18}{'products':>10}{'nearest':>10}{'best F1':>10}{'of exact':>10}{'at':>8}{'s':>7}")
    print(f"{'exact':18}{1:>10.1%}{1:>10.1%}{f1:>10.2%}{1:>10.2%}{threshold:>8.3f}{seconds:>7.1f}")
    for of in LISTS:
        lists = Lists(*of)
        begin = time.perf_counter()
        found = nearest_in_lists(sources, targets, K, lists, precision="bfloat16")
        seconds = time.perf_counter() - begin
        products = make_lists(sources, targets, lists).products / len(sources) / len(targets)
        aligned = align_neighbours(found)
        near = np.mean(found.targets[:, 0] == nearest_rows)
        own, threshold = best(aligned)
        print(
            f"{'{}, {}, {}'.format(*of):18}{products:>10.1%}{near:>10.1%}{own:>10.2%}"
            f"{own / f1:>10.2%}{threshold:>8.3f}{seconds:>7.1f}"
        )


def _million(flags) -> None:
    """`labse mine` on sentences that are two of the sample's one after the other."""
    pairs = joined_pairs(sample_pairs(), flags.million)
    order = np.random.default_rng(2).permutation(flags.million)
    for name, texts in (("a", (a for a, _ in pairs)), ("b", (pairs[i][1] for i in order))):
        with open(flags.folder / f"{name}.txt", "w", encoding="utf-8") as file:
            file.writelines(f"{text}\n" for text in texts)
    places = np.argsort(order) + 1
    with open(flags.folder / "gold.tsv", "w", encoding="utf-8") as file:
        file.writelines(f"{i}\t{j}\n" for i, j in enumerate(places.tolist(), start=1))
    command = [
        sys.executable, "-m", "labse_tf.commands.main", "mine", flags.folder / "a.txt",
        flags.folder / "b.txt", "--model", flags.model, "--output", flags.folder / "pairs.tsv.gz",
        "--gold", flags.folder / "gold.tsv", "--overwrite",
    ]  # fmt: skip
    begin = time.perf_counter()
    said = subprocess.run(
        list(map(str, command)), check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
    print(f"\n{flags.million:,} x {flags.million:,} sentences mined")
    print(f"{seconds / 60:.1f} minutes, at most {peak:.2f} GB of memory\n{said.stdout}")


if __name__ == "__main__":
    main()
