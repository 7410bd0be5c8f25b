"""What the speed benchmark found, as a Markdown table with notes; and its place in README.

python -m tests.benchmark.speed_report tests/benchmark/speed.json
"""

import importlib.metadata
import json
import os
import platform
import re
import sys
from pathlib import Path

import numpy as np

from tests.benchmark.systems import REFERENCE, SYSTEMS, TF_HUB

BEGIN, END = "<!-- speed: begin -->", "<!-- speed: end -->"
PACKAGES = (
    "labse_tf", "tensorflow", "tensorflow-text", "tensorflow-hub", "tf_keras", "tf-models-official",
    "openvino", "torch", "transformers", "tokenizers", "sentence-transformers", "onnxruntime",
    "numpy",
)  # fmt: skip
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
HEADER = (
    "system", "sentences/s", "quartiles", "times the TF-Hub way",
    "times sentence-transformers, same precision", "one sentence, ms: p50 / p90", "peak memory, MB",
    "lowest cosine with labse_tf float32",
)  # fmt: skip


def table(results: dict) -> str:
    """The table and its notes, of what `speed` writes as JSON."""
    lines = ["| " + " | ".join(HEADER) + " |", "|---" + "|---:" * (len(HEADER) - 1) + "|"]
    for name, found in results["systems"].items():
        label = f"{SYSTEMS[name].label} {SYSTEMS[name].precision}"
        cells = _cells(name, results["systems"]) if "rounds" in found else [_absence(found)]
        lines.append("| " + " | ".join([label, *cells, *[""] * (7 - len(cells))]) + " |")
    return "\n".join([*lines, "", *_notes(results)])


def _cells(name: str, systems: dict) -> list[str]:
    found = systems[name]
    low, median, high = np.percentile(_rates(found), [25, 50, 75])
    p50, p90 = np.percentile([s for r in found["rounds"] for s in r["latency"]], [50, 90]) * 1000
    sentence_transformers = f"sentence_transformers-{SYSTEMS[name].precision}"
    return [
        f"{median:,.1f}",
        f"{low:,.1f} to {high:,.1f}",
        _times(found, systems.get(TF_HUB)),
        _times(found, systems.get(sentence_transformers)),
        f"{p50:.1f} / {p90:.1f}",
        f"{found['peak_bytes'] / 1e6:,.0f}",
        f"{found['lowest_cosine']:.6f}",
    ]


def _rates(found: dict) -> np.ndarray:
    return np.array([r["sentences"] / r["seconds"] for r in found["rounds"]])


def _times(found: dict, other: dict | None) -> str:
    """The median of the rounds' ratios: neighbours in time, whatever the machine was busy with."""
    if other is None or "rounds" not in other:
        return "–"
    return f"{np.median(_rates(found) / _rates(other)):.2f}"


def _absence(found: dict) -> str:
    return f"not installed: {', '.join(found['missing'])}"


def _notes(results: dict) -> list[str]:
    cpu, model, sentences = results["cpu"], results["model"], results["sentences"]
    flags = ", ".join(f"{'' if flag in cpu['flags'] else 'no '}{flag}" for flag in FLAGS[-3:])
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    random = model["weights"] == "random"
    rounds = len(results["systems"][REFERENCE]["rounds"])
    elsewhere = [
        r["cores_busy_elsewhere"] for s in results["systems"].values() for r in s.get("rounds", [])
    ]
    notes = [
        f"{cpu['model']} ({flags}), {cpu['cores']} cores; "
        f"threads of each system: {results['threads']}.",
        f"{sentences['count']:,} sentences of {sentences['languages']} languages, "
        f"{sentences['tokens']:,} tokens with [CLS] and [SEP], the longest {sentences['longest']}.",
        f"{model['num_layers']} layers of {model['hidden_size']} with {model['weights']} weights, "
        f"the same for all, and {model['vocab_size']:,} word pieces."
        + random
        * " LaBSE's 501,153 would add up to 1.5 GB to the memory and nothing to the time.",
        f"{rounds} interleaved rounds after one that is not counted; of a ratio the median of the "
        "rounds'. Each system has a process of its own, and all others are suspended meanwhile. "
        f"All else on the machine kept {np.mean(elsewhere):.2f} cores busy (mean; at most "
        f"{max(elsewhere):.2f}).",
        "One sentence: ten of 6 to 12 word pieces, each once a round, in a call of its own.",
        "Different sentences' embeddings have a cosine of "
        f"{sentences['mean_cosine']:.2f} on average, so those of the same one mean something.",
    ]
    if TF_HUB in results["systems"]:
        notes.append(
            "The TF-Hub way: preprocessed to a width of 128, batches of 32, the Model Garden's "
            "encoder. Its time does not depend on the sentences' length, so a round has only the "
            f"first {SYSTEMS[TF_HUB].most} of them for it."
        )
    if start := results.get("start"):
        ours, bare = (np.median(start[name]) for name in ("labse_tf", "saved_model"))
        notes.append(
            f"From `labse_tf.load` to the first embedding {ours:.2f} s, from "
            f"`tf.saved_model.load` {bare:.2f} s: {ours / bare:.2f} times as long (medians of "
            f"{len(start['labse_tf'])} fresh processes each, imports not counted)."
        )
        ours, light = (np.median(start[name]) for name in ("tensorflow", "openvino"))
        notes.append(
            f"`labse encode` of one sentence, from the start of the process to its end: "
            f"{ours:.2f} s, with `--backend openvino` {light:.2f} s: {light / ours:.2f} of it."
        )
    return [f"- {note}" for note in [*notes, f"Python {results['python']}; {versions}."]]


def machine() -> dict:
    """What the table's figures hold for."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    present = re.search(r"^flags\s*: (.*)$", cpuinfo, re.MULTILINE)[1].split()
    return {
        "cpu": {
            "model": re.search(r"^model name\s*: (.*)$", cpuinfo, re.MULTILINE)[1],
            "cores": os.cpu_count(),
            "flags": [flag for flag in FLAGS if flag in present],
        },
        "python": platform.python_version(),
        "versions": versions,
    }


def check_markers(readme: Path) -> None:
    """Raises SystemExit unless the table has its place in the file."""
    text = readme.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise SystemExit(f"{readme} must hold one line {BEGIN} and below it one line {END}.")


def replace_in(readme: Path, report: str) -> None:
    check_markers(readme)
    text = readme.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    readme.write_text(f"{before}{BEGIN}\n{report}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    print(table(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
