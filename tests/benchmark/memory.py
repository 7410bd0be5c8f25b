"""Memory and time of loading and converting a model of LaBSE's size, each in a fresh process.

The weights are random and the vocabulary made up: 501,153 pieces, 471 million weights, 1.9 GB.
Memory is the peak of resident pages, file pages included, beyond what the process had when
labse_tf was imported, over the bytes of the weights.
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
from labse_tf import weights

MEASURE = """
import sys, time
import labse_tf
from labse_tf.conversion import convert

def status(field):
    with open("/proc/self/status") as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith(field))

before, start = status("VmRSS"), time.perf_counter()
labse_tf.load(sys.argv[1]) if len(sys.argv) == 2 else convert(*sys.argv[1:])
print(status("VmHWM") - before, time.perf_counter() - start)
"""


def measure(name, size, *arguments):
    command = [sys.executable, "-c", MEASURE, *map(str, arguments)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    output = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    peak, seconds = map(float, output.stdout.split())
    print(f"{name:58}{peak / size:6.2f} times the weights' {size / 1e9:.2f} GB; {seconds:6.1f} s")


def vocabulary(path, size):
    """Special tokens, and as many made-up words and pieces as LaBSE's vocabulary has."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = ("".join(letters) for letters in itertools.product("abcdefghijklmnop", repeat=5))
    tokens += [("##" if i % 3 else "") + word for i, word in zip(range(size - 5), words)]
    path.write_text("\n".join(tokens) + "\n")


def random_model(folder):
    config = labse_tf.EncoderConfig.base()
    vocabulary(folder / "vocab.txt", config.vocab_size)
    encoder = weights.unfilled_encoder(config)
    rng = np.random.default_rng(0)

    def fill(array):
        array[...] = rng.standard_normal(array.shape, np.float32) * np.float32(0.02)

    for weight in encoder.weights:
        weights.assign(weight, fill)
    return labse_tf.LaBSE(labse_tf.Preprocessor(folder / "vocab.txt"), encoder)


def main():
    folder = Path(tempfile.mkdtemp(prefix="labse_tf-benchmark-"))
    try:
        model = random_model(folder)
        size = 4 * model.encoder.count_params()
        model.save(folder / "release")
        del model
        for to in ("hugging-face", "saved-model", "model-garden"):
            source = "release" if to == "hugging-face" else "hugging-face"
            measure(f"convert {source} to {to}", size, folder / source, folder / to, to)
        for source in ("release", "hugging-face", "model-garden"):
            measure(f"load {source}", size, folder / source)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
