"""Memory and time of loading, converting and pruning a model of LaBSE's size, in fresh processes.

The weights are random, 471 million in 1.9 GB. The vocabulary has LaBSE's 501,153 word pieces: the
demo's, learnt from the sample's 13 languages, and as many made-up ones as are missing. Memory is
the peak of resident pages, file pages included, beyond what the process had when labse_tf was
imported, over the bytes of the weights.
"""

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import labse_tf
from labse_tf.data.texts import read_sentences
from labse_tf.encoder import weights
from labse_tf.release.saved_model import size_on_disk

ROOT = Path(__file__).parents[2]
VOCABULARY = ROOT / "build" / "demo" / "vocab.txt"
SAMPLE = ROOT / "training" / "sample"

MEASURE = """
import sys, time
import labse_tf
from labse_tf.conversion.formats import convert
from labse_tf.conversion.pruned_releases import prune_release
from labse_tf.conversion.quantized_releases import quantize

def status(field):
    with open("/proc/self/status") as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith(field))

before, start = status("VmRSS"), time.perf_counter()
action, *arguments = sys.argv[1:]
lines = []
if action == "load":
    labse_tf.load(*arguments)
elif action == "convert":
    convert(*arguments)
elif action == "quantize":
    quantize(*arguments[:2], arguments[2:])
else:
    lines = prune_release(*arguments[:2], arguments[2:])
print(status("VmHWM") - before, time.perf_counter() - start, *lines, sep="\\n")
"""


HUB = """
import sys
import tensorflow as tf, tensorflow_hub as hub, tensorflow_text

def resident():
    with open("/proc/self/status") as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

before = resident()
model = hub.load(sys.argv[1])
model(tf.constant(sys.stdin.read().splitlines()))
print(resident() - before)
"""


def resident_after_hub_load(release, sentences):
    """Bytes that a SavedModel takes in a process that loaded and called it."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.run(
        [sys.executable, "-c", HUB, str(release)],
        input="\n".join(sentences),
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return float(process.stdout)


EMBED = """
import sys
import labse_tf

release, backend, precision = sys.argv[1:]
model = labse_tf.load(release, backend=backend, precision=precision)
model.encode(sys.stdin.read().splitlines())
with open("/proc/self/status") as file:
    fields = dict(line.split(":") for line in file)
print(*(1024 * int(fields[name].split()[0]) for name in ("VmRSS", "RssAnon", "VmHWM")))
"""
TO_EMBED = (
    ("release", "tensorflow", "float32"),
    ("release", "tensorflow", "bfloat16"),
    ("release", "openvino", "float32"),
    ("release", "openvino", "bfloat16"),
    ("release", "openvino", "int8"),
    ("quantized", "openvino", "int8"),
)


def measure_to_embed(folder):
    """All memory of a process that has loaded a model and embedded sentences by it.

    Of the resident pages those of the variables file, which several processes share, are counted.
    """
    print(f"    {'to embed':40}{'GB resident':>12}{'without files':>15}{'peak':>7}")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    for release, backend, precision in TO_EMBED:
        process = subprocess.run(
            [sys.executable, "-c", EMBED, str(folder / release), backend, precision],
            input="\n".join(held_out()), capture_output=True, text=True, check=True,
            env=environment,
        )  # fmt: skip
        resident, anonymous, peak = (float(word) / 1e9 for word in process.stdout.split())
        name = f"{release}, {backend}, {precision}"
        print(f"    {name:40}{resident:12.2f}{anonymous:15.2f}{peak:7.2f}", flush=True)


def measure_dtypes(release, folder):
    """Releases of other weights: on the disk, in memory, and what they cost."""
    model, sentences = labse_tf.load(release), held_out()
    expected = model.encode(sentences)
    print(f"    {'weights':10}{'GB on disk':>12}{'GB in memory':>14}  lowest and mean cosine")
    for dtype in ("float32", "float16", "int8"):
        path = folder / dtype
        model.save(path, weights_dtype=dtype)
        cosines = np.sum(labse_tf.load(path).encode(sentences) * expected, axis=1)
        disk, memory = size_on_disk(path) / 1e9, resident_after_hub_load(path, sentences) / 1e9
        print(f"    {dtype:10}{disk:12.2f}{memory:14.2f}  {cosines.min():.6f} {cosines.mean():.6f}")
        shutil.rmtree(path)


def held_out():
    paths = sorted(SAMPLE.glob("*.heldout.*"))
    return [s for path in paths for s in read_sentences(path)][::100]


def measure(name, size, *arguments):
    command = [sys.executable, "-c", MEASURE, *map(str, arguments)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    output = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    peak, seconds, *lines = output.stdout.splitlines()
    peak, seconds = float(peak), float(seconds)
    print(f"{name:58}{peak / size:6.2f} times the weights' {size / 1e9:.2f} GB; {seconds:6.1f} s")
    for line in lines:
        print(f"    {line}")


def write_vocabulary(path, size):
    tokens = VOCABULARY.read_text(encoding="utf-8").splitlines()
    words = ("".join(letters) for letters in itertools.product("abcdefghijklmnop", repeat=5))
    made_up = (("##" if i % 3 else "") + word for i, word in enumerate(words))
    known = set(tokens)
    tokens += itertools.islice((t for t in made_up if t not in known), size - len(tokens))
    path.write_text("\n".join(tokens) + "\n", encoding="utf-8")


def random_model(folder):
    config = labse_tf.EncoderConfig.base()
    write_vocabulary(folder / "vocab.txt", config.vocab_size)
    encoder = weights.unfilled_encoder(config)
    rng = np.random.default_rng(0)

    def fill(array):
        array[...] = rng.standard_normal(array.shape, np.float32) * np.float32(0.02)

    for weight in encoder.weights:
        weights.assign(weight, fill)
    return labse_tf.LaBSE(labse_tf.Preprocessor(folder / "vocab.txt"), encoder)


def same_embeddings(before, after):
    sentences = held_out()
    a, b = (labse_tf.load(path).encode(sentences) for path in (before, after))
    equal = int((a == b).all(axis=1).sum())
    print(f"    {equal} of {len(sentences)} held-out sentences have bit-equal embeddings")


def main():
    if not VOCABULARY.exists():
        raise SystemExit(f"{VOCABULARY} does not exist. Run `make demo` first: it makes it.")
    folder = Path(tempfile.mkdtemp(prefix="labse_tf-benchmark-"))
    try:
        model = random_model(folder)
        size = 4 * model.encoder.count_params()
        model.save(folder / "release")
        del model
        for to in ("hugging-face", "saved-model", "model-garden"):
            source = "release" if to == "hugging-face" else "hugging-face"
            name = f"convert {source} to {to}"
            measure(name, size, "convert", folder / source, folder / to, to)
        for source in ("release", "hugging-face", "model-garden"):
            measure(f"load {source}", size, "load", folder / source)
        corpus = sorted(SAMPLE.glob("*.gz"))
        pruned = folder / "pruned"
        measure(
            "prune to the sample's languages", size, "prune", folder / "release", pruned, *corpus
        )
        same_embeddings(folder / "release", pruned)
        quantized = folder / "quantized"
        measure("quantize", size, "quantize", folder / "release", quantized, *corpus)
        measure_to_embed(folder)
        measure_dtypes(folder / "release", folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
