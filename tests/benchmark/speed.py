"""Speed of embedding strings on a CPU, by labse_tf and by what else there is, with equal weights.

python -m tests.benchmark.speed --readme labse_tf/inference/README.md

Every system runs in a process of its own. Before anything is timed, its embeddings are compared
with those of labse_tf in float32. Then each round has every system embed the same sentences, one
system after another, so that a ratio is of neighbours in time. Run it with nothing else running.
"""

import argparse
import datetime
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from labse_tf.models import NAME
from tests.benchmark.speed_processes import ENVIRONMENT, ROOT, WorkerProcess, busy_seconds
from tests.benchmark.speed_report import check_markers, machine, replace_in, table
from tests.benchmark.speed_start import measure_start
from tests.benchmark.systems import REFERENCE, SYSTEMS, missing_packages

JSON = ROOT / "tests" / "benchmark" / "speed.json"
LOWEST_COSINE = {"float32": 0.9999, "bfloat16": 0.999, "int8": 0.98}


def main():
    flags = parse_flags()
    names = [name for name in SYSTEMS if name in {REFERENCE, *flags.systems}]
    if flags.size == NAME:  # which has no layers, so no kernels
        names = [name for name in names if "release-int8" not in SYSTEMS[name].formats]
    missing = {name: missing_packages(SYSTEMS[name]) for name in names}
    if missing[REFERENCE]:
        raise SystemExit(f"labse_tf needs {missing[REFERENCE]}, which are not installed.")
    with tempfile.TemporaryDirectory(prefix="labse_tf-speed-") as temporary:
        folder = Path(flags.workdir or temporary).absolute() / flags.size
        make_model(folder, flags.size, [name for name in names if not missing[name]])
        results = {
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "command": shlex.join(["python", "-m", "tests.benchmark.speed", *sys.argv[1:]]),
            **machine(),
            "threads": flags.threads,
            "model": describe_model(folder),
            "sentences": describe_sentences(folder, flags.sentences),
            "systems": {name: {"missing": missing[name]} for name in names},
        }
        measure(results, folder, flags.rounds)
        if flags.starts:
            say("start")
            results["start"] = measure_start(folder / "release", flags.threads, flags.starts)
    if flags.json:
        flags.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    report = table(results)
    print(report)
    if flags.readme:
        replace_in(flags.readme, report)


def parse_flags():
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(
        prog="tests.benchmark.speed", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "--size",
        choices=["base", NAME, "tiny"],
        default="base",
        help=f"{NAME}: the model of the package; tiny: for trying the benchmark itself "
        "(default: base)",
    )
    parser.add_argument(
        "--systems",
        nargs="+",
        choices=SYSTEMS,
        default=list(SYSTEMS),
        metavar="NAME",
        help=f"{', '.join(SYSTEMS)}; the first is always there",
    )
    parser.add_argument("--sentences", type=int, default=2000, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument(
        "--starts",
        type=int,
        default=5,
        help="fresh processes to time loading in (default: %(default)s)",
    )
    parser.add_argument("--threads", type=int, default=cores, help="of each system (default: all)")
    parser.add_argument(
        "--workdir",
        type=Path,
        help="where the model is made, or was made before; else a temporary one",
    )
    parser.add_argument(
        "--json",
        type=Path,
        help=f"for every measurement (default: {JSON.relative_to(ROOT)}; none with --size tiny)",
    )
    parser.add_argument(
        "--readme", type=Path, help="the file whose lines between the markers the table replaces"
    )
    flags = parser.parse_args()
    if not 1 <= flags.threads <= cores:
        parser.error(f"--threads {flags.threads}: this process may use 1 to {cores}.")
    if not 32 <= flags.sentences <= 7000:
        parser.error(f"--sentences {flags.sentences}: must be 32 to 7,000, which the sample has.")
    if flags.rounds < 1:
        parser.error(f"--rounds {flags.rounds}: must be at least 1.")
    if flags.readme:
        check_markers(flags.readme)
    if flags.json is None and flags.size == "base":
        flags.json = JSON
    return flags


def make_model(folder, size, names):
    vocabulary = ROOT / "build" / "demo" / "vocab.txt"
    if not vocabulary.exists():
        raise SystemExit(f"{vocabulary} does not exist. Run `make demo` first: it makes it.")
    formats = dict.fromkeys(f for name in SYSTEMS if name in names for f in SYSTEMS[name].formats)
    say(f"model of size {size}: {', '.join(formats)}")
    command = [sys.executable, "-m", "tests.benchmark.speed_model", str(folder), size, *formats]
    run = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(f"The model could not be made:\n{run.stderr[-3000:]}")


def describe_model(folder):
    release = json.loads((folder / "release" / "assets" / "labse.json").read_text())
    weights = "trained" if folder.name == NAME else "random"
    return {**release["encoder"], "seq_length": release["seq_length"], "weights": weights}


def describe_sentences(folder, count):
    contents = json.loads((folder / "sentences.json").read_text(encoding="utf-8"))
    tokens = contents["tokens"][:count]
    return {
        "count": count,
        "languages": contents["languages"],
        "tokens": sum(tokens),
        "longest": max(tokens),
    }


def measure(results, folder, rounds):
    systems = {name: found for name, found in results["systems"].items() if not found["missing"]}
    count, workers, reference = results["sentences"]["count"], [], None
    try:
        for name, found in systems.items():
            say(f"{name}: loading, comparing, warming up")
            worker = WorkerProcess(name, folder, results["threads"], count)
            workers.append(worker)
            output = folder / "embeddings.npy"
            worker.ask("embed_first", count=SYSTEMS[name].most or count, output=str(output))
            embeddings = np.load(output)
            if name == REFERENCE:
                reference = embeddings
                results["sentences"]["mean_cosine"] = mean_cosine(reference)
            found["lowest_cosine"] = check(name, embeddings, reference[: len(embeddings)])
            found.update(worker.ask("warm_up"), rounds=[])
        for index in range(rounds):
            say(f"round {index + 1} of {rounds}")
            # There and back, so that a machine that slows down does so for all of them.
            for worker in workers[:: -1 if index % 2 else 1]:
                before = busy_seconds() - worker.cpu_seconds()
                found = worker.ask("throughput")
                elsewhere = busy_seconds() - worker.cpu_seconds() - before
                found["cores_busy_elsewhere"] = elsewhere / found["seconds"]
                found["latency"] = worker.ask("latency")["seconds"]
                systems[worker.name]["rounds"].append(found)
        for worker in workers:
            systems[worker.name].update(worker.ask("memory"))
    finally:
        for worker in workers:
            worker.kill()


def check(name, embeddings, reference):
    """The lowest cosine with labse_tf in float32, if the system embeds as it should."""
    lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(reference, axis=1)
    cosines = (embeddings * reference).sum(axis=1) / lengths  # in bfloat16 rows may not be units
    lowest, precision = float(cosines.min()), SYSTEMS[name].precision
    # Not `lowest < ...`: a NaN is no embedding either.
    if not lowest >= LOWEST_COSINE[precision]:
        said = (
            f"{name} does not embed as {REFERENCE} does: of {len(cosines)} sentences the lowest "
            f"cosine is {lowest:.6f}, of the sentence {int(cosines.argmin())}, but it should be "
            f"at least {LOWEST_COSINE[precision]} in {precision}."
        )
        if precision != "int8":  # which is as exact as it is; the table says how much
            raise SystemExit(said)
        say(said)
    return lowest


def mean_cosine(embeddings):
    """Of different sentences."""
    cosines = embeddings @ embeddings.T
    return float(cosines[~np.eye(len(cosines), dtype=bool)].mean())


def say(what):
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
