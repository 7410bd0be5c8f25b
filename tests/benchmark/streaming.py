"""Memory while a file of a million sentences is embedded into another file, in a fresh process.

python -m tests.benchmark.streaming

The model is small, so that it is the streaming that is measured: whatever grew with the number of
sentences would show between the tenth part and the end.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import labse_tf
from labse_tf.data.texts import read_sentences

ROOT = Path(__file__).parents[2]
VOCABULARY = ROOT / "build" / "demo" / "vocab.txt"
SAMPLE = ROOT / "training" / "sample"
CONFIG = dict(hidden_size=64, num_layers=1, num_heads=4, intermediate_size=256, max_positions=128)

# Prints [bytes written, VmRSS, RssAnon] of every tenth of a second, and the seconds at last.
MEASURE = """
import json, os, pathlib, sys, threading, time
import labse_tf

model, sentences, output = sys.argv[1:]
samples, done = [], threading.Event()

def sample():
    with open("/proc/self/status") as file:
        status = dict(line.split(":") for line in file)
    path = output if os.path.exists(output) else output + ".unfinished"
    written = os.path.getsize(path) if os.path.exists(path) else 0
    samples.append([written, *(1024 * int(status[k].split()[0]) for k in ("VmRSS", "RssAnon"))])

def watch():
    while not done.wait(0.1):
        try:
            sample()
        except FileNotFoundError:  # it was renamed in between
            pass

model = labse_tf.load(model)
thread = threading.Thread(target=watch)
thread.start()
start = time.perf_counter()
embeddings = model.encode(pathlib.Path(sentences), output=output)
seconds = time.perf_counter() - start
done.set()
thread.join()
sample()
print(json.dumps({"samples": samples, "seconds": seconds, "shape": embeddings.shape}))
"""


def main():
    parser = argparse.ArgumentParser(
        prog="tests.benchmark.streaming", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--sentences", type=int, default=1_000_000, help="(default: %(default)s)")
    count = parser.parse_args().sentences
    if count < 10:
        parser.error(f"--sentences {count}: must be at least 10.")
    if not VOCABULARY.exists():
        raise SystemExit(f"{VOCABULARY} does not exist. Run `make demo` first: it makes it.")
    with tempfile.TemporaryDirectory(prefix="labse_tf-streaming-") as folder:
        found = embed_in_fresh_process(Path(folder), count)
    assert found["shape"] == [count, CONFIG["hidden_size"]]
    size = 4 * CONFIG["hidden_size"] * count
    tenth = next(sample for sample in found["samples"] if sample[0] >= size / 10)
    last = found["samples"][-1]
    highest = [max(s[i] for s in found["samples"] if s[0] >= tenth[0]) for i in (1, 2)]
    print(f"{count:,} sentences, {count / found['seconds']:,.0f} a second, to {size / 1e6:,.0f} MB")
    print(f"{'':10}{'after a tenth':>15}{'at the end':>15}{'ratio':>10}{'highest':>15}")
    for name, i in (("VmRSS", 1), ("RssAnon", 2)):
        figures = f"{tenth[i] / 1e6:12,.1f} MB{last[i] / 1e6:12,.1f} MB{last[i] / tenth[i]:10.3f}"
        print(f"{name:10}{figures}{highest[i - 1] / 1e6:12,.1f} MB")


def embed_in_fresh_process(folder, count):
    preprocessor = labse_tf.Preprocessor(VOCABULARY)
    encoder = labse_tf.Encoder(labse_tf.EncoderConfig(preprocessor.vocab_size, **CONFIG))
    labse_tf.LaBSE(preprocessor, encoder).save(folder / "model")
    write_sentences(folder / "sentences.txt", count)
    command = [sys.executable, "-c", MEASURE]
    command += [str(folder / name) for name in ("model", "sentences.txt", "embeddings.npy")]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)
    if run.returncode:
        raise SystemExit(f"The process that embeds has failed with status {run.returncode}.")
    return json.loads(run.stdout.splitlines()[-1])


def write_sentences(path, count):
    """Those of the sample over and over, with numbers, so that no two are the same."""
    files = sorted(SAMPLE.glob("*.heldout.tsv.gz"))
    sample = [sentence for file in files for sentence in read_sentences(file)]
    numbered = (f"{sentence} {i}\n" for i, sentence in enumerate(itertools.cycle(sample)))
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(itertools.islice(numbered, count))


if __name__ == "__main__":
    main()
