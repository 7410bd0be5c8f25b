"""Training: gradient caching, LaBSE's vocabulary, replicas, and against sentence-transformers.

Each system trains in a process of its own, and all others are suspended meanwhile; the rounds are
interleaved, and of a ratio the median over the rounds is printed, with its quartiles. Token ids are
made before: what is timed are steps, forward, backward and update. Run it with nothing else
running.
"""

import argparse
import gzip
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

import labse_tf
from labse_tf.conversion.formats import convert
from tests.benchmark.memory import VOCABULARY, write_vocabulary
from tests.benchmark.speed_processes import WorkerProcess
from tests.benchmark.training_worker import BATCH, CHUNK, GLOBAL, LARGE, SHAPE, SMALL, SYSTEMS

ROUNDS, WARM_UP = 5, 2
SAMPLE = Path(__file__).parents[2] / "training" / "sample"
STEPS = 8  # of a round, unless said otherwise


def main():
    parts = {
        "caching": caching,
        "vocabulary": vocabulary,
        "replicas": replicas,
        "others": against_sentence_transformers,
    }
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark.training")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    flags = parser.parse_args()
    rounds = flags.rounds
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        prepare(folder)
        print(
            f"{SHAPE['num_layers']} layers of {SHAPE['hidden_size']}, {SMALL:,} word pieces, "
            f"batches of {BATCH} pairs; {rounds} interleaved rounds after {WARM_UP}\n"
        )
        for part in flags.parts:
            parts[part](folder, rounds)


def prepare(folder):
    """The vocabulary, batches of both sizes of the sample, and a model for the others."""
    write_vocabulary(folder / "vocab.txt", SMALL)
    preprocessor = labse_tf.Preprocessor(folder / "vocab.txt")
    pairs = []
    for path in sorted(SAMPLE.glob("*.train.tsv.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            pairs += [line.rstrip("\n").split("\t")[:2] for line in file]
    order = np.random.default_rng(0).permutation(len(pairs))[:GLOBAL]
    sides = [preprocessor.word_pieces(tf.constant([pairs[i][s] for i in order])) for s in (0, 1)]
    longest = np.maximum(*(side.row_lengths().numpy() for side in sides))
    sides = [tf.gather(side, np.argsort(longest, kind="stable")) for side in sides]
    for size in (BATCH, GLOBAL):
        arrays = {}
        for i in range(GLOBAL // size):
            for s, side in enumerate(sides):
                rows = side[i * size : (i + 1) * size]
                width = int(min(tf.reduce_max(rows.row_lengths()) + 2, 128))
                packed = preprocessor.pack([rows], width)
                arrays[f"{i}/{s}/ids"] = packed["input_word_ids"].numpy()
                arrays[f"{i}/{s}/mask"] = packed["input_mask"].numpy()
        np.savez(folder / f"batches-{size}.npz", **arrays)
    config = labse_tf.EncoderConfig(SMALL, max_positions=128, pooling="mean", **SHAPE)
    labse_tf.LaBSE(preprocessor, labse_tf.Encoder(config)).save(folder / "release")
    convert(folder / "release", folder / "hugging-face", "hugging-face")


def run(folder, rounds, steps, *arguments):
    """Seconds of each system, [rounds]; the peak of its memory; its losses."""
    workers = {
        name: WorkerProcess(name, folder, *arguments, module="training_worker") for name in steps
    }
    try:
        seconds = {name: [] for name in steps}
        losses = {name: [] for name in steps}
        for number in range(-WARM_UP, rounds):
            for name, worker in workers.items():
                answer = worker.ask("steps", steps=steps[name])
                losses[name] += answer["losses"]
                if number >= 0:
                    seconds[name].append(answer["seconds"])
        peaks = {name: worker.ask("memory")["peak_bytes"] for name, worker in workers.items()}
    finally:
        for worker in workers.values():
            worker.kill()
    return {name: np.array(x) for name, x in seconds.items()}, peaks, losses


def caching(folder, rounds):
    seconds, peaks, _ = run(folder, rounds, {"plain": GLOBAL // BATCH, "cached": 1})
    print(
        f"gradient caching: {GLOBAL:,} pairs in chunks of {CHUNK}, against steps of {BATCH} pairs"
    )
    show("time of the same pairs", seconds["cached"] / seconds["plain"], "at most 1.6")
    show("peak memory", peaks["cached"] / peaks["plain"], "at most 1.15")
    memory(peaks)


def vocabulary(folder, rounds):
    systems = ("plain", "row-sparse", "dense", "Keras' AdamW")
    seconds, peaks, _ = run(folder, rounds, dict.fromkeys(systems, 2), "one")
    print(f"{LARGE:,} word pieces, row-sparse AdamW, sentences of median length")
    show(f"step, against {SMALL:,}", seconds["row-sparse"] / seconds["plain"], "at most 1.15")
    for other in systems[2:]:
        show(f"step, against {other}", seconds["row-sparse"] / seconds[other])
        show(f"peak memory, against {other}", peaks["row-sparse"] / peaks[other], "at most 0.65")
    memory(peaks)


def replicas(folder, rounds):
    seconds, _, _ = run(folder, rounds, {"plain": STEPS, "two replicas": STEPS})
    print(f"two replicas on two cores, the same global batch of {BATCH}")
    show("throughput, against one", seconds["plain"] / seconds["two replicas"], "at least 0.9")
    print()


def against_sentence_transformers(folder, rounds):
    for ours, precision, goal in (("plain", "float32", "1.3"), ("bfloat16", "bfloat16", "1")):
        name = f"sentence-transformers {precision}"
        seconds, peaks, losses = run(folder, rounds, {ours: STEPS, name: STEPS})
        print(f"{precision}, against sentence-transformers' MultipleNegativesRankingLoss")
        show("throughput", seconds[name] / seconds[ours], f"at least {goal}")
        for system in (ours, name):
            rate = BATCH * STEPS / np.median(seconds[system])
            first, last = np.mean(losses[system][:8]), np.mean(losses[system][-8:])
            label = "labse_tf" if system == ours else "sentence-transformers"
            print(f"    {label:34}{rate:8.1f} pairs/s, loss {first:.3f} to {last:.3f}")
        memory(peaks)


def show(name, ratios, goal=""):
    low, median, high = np.percentile(ratios, [25, 50, 75])
    spread = f" ({low:.2f} to {high:.2f})" if np.ndim(ratios) else ""
    print(f"    {name:34}{median:6.2f} times{spread}" + (f"; goal: {goal}" if goal else ""))


def memory(peaks):
    texts = (f"{name} {peak / 1e6:,.0f} MB" for name, peak in peaks.items())
    print(f"    memory: {', '.join(texts)}\n")


if __name__ == "__main__":
    if not VOCABULARY.exists():
        raise SystemExit(f"{VOCABULARY} does not exist. Run `make demo` first: it makes it.")
    assert set(SYSTEMS) >= {"plain", "cached"}
    main()
