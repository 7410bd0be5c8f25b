"""Memory and time of the masked-language loss over LaBSE's vocabulary, in fresh processes.

What is measured is the loss of some masked places and its gradients, with respect to the places'
vectors, the word embeddings and the bias: with all logits at once, as TensorFlow differentiates
them, and with a chunk of them at a time. Memory is the peak of resident pages beyond what the
process had before; the embeddings (1.54 GB) are not counted, their gradient (as much) is.
"""

import os
import subprocess
import sys

VOCABULARY, HIDDEN = 501_153, 768
CASES = (
    ("plain", 152),
    ("plain", 608),
    ("plain", 2432),
    ("chunks of 64 MB", 608),
    ("chunks of 256 MB", 152),
    ("chunks of 256 MB", 608),
    ("chunks of 256 MB", 2432),
    ("chunks of 1024 MB", 2432),
)


def measure(how, positions):
    import time

    import numpy as np
    import tensorflow as tf

    from labse_tf.losses.masked_language_model import masked_cross_entropy

    def status(field):
        with open("/proc/self/status") as file:
            return 1024 * next(int(line.split()[1]) for line in file if line.startswith(field))

    rng = np.random.default_rng(0)
    hidden = tf.constant(rng.standard_normal([positions, HIDDEN], np.float32))
    table = tf.constant(rng.standard_normal([VOCABULARY, HIDDEN], np.float32) * np.float32(0.02))
    labels = tf.constant(rng.integers(VOCABULARY, size=positions), tf.int32)
    bias, weights = tf.zeros([VOCABULARY]), tf.ones([positions])

    def loss_of(hidden, table, bias):
        if how == "plain":
            logits = tf.nn.bias_add(tf.matmul(hidden, table, transpose_b=True), bias)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            return tf.reduce_sum(losses * weights)
        chunk_bytes = int(how.split()[2]) * 2**20
        options = dict(training=True, chunk_bytes=chunk_bytes)
        return masked_cross_entropy(hidden, table, bias, labels, weights, **options)[0]

    @tf.function(autograph=False)
    def step(*inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = loss_of(*inputs)
        return loss, tape.gradient(loss, inputs)

    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # begins the peak anew
    before, seconds = status("VmRSS"), []
    for _ in range(3):
        start = time.perf_counter()
        loss, gradients = step(hidden, table, bias)
        seconds.append(time.perf_counter() - start)
        checksum = float(tf.linalg.norm(gradients[0]))
        del gradients
    print(status("VmHWM") - before, min(seconds), float(loss) / positions, checksum)


def main():
    print(f"{VOCABULARY:,} word pieces of {HIDDEN}; 8, 32 and 128 sequences of 19 masked places")
    print(f"{'':20}{'places':>8}{'logits, GB':>12}{'peak, GB':>10}{'s':>8}{'loss':>12}{'|dx|':>12}")
    for how, positions in CASES:
        command = [sys.executable, "-m", "tests.benchmark.pretraining", how, str(positions)]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        run = subprocess.run(command, capture_output=True, text=True, env=environment)
        if run.returncode:
            print(f"{how:20}{positions:8}  failed: {run.stderr.strip().splitlines()[-1:]}")
            continue
        peak, seconds, loss, checksum = map(float, run.stdout.split())
        logits = 4e-9 * positions * VOCABULARY
        print(
            f"{how:20}{positions:8}{logits:12.2f}{peak / 1e9:10.2f}{seconds:8.2f}"
            f"{loss:12.6f}{checksum:12.6f}"
        )


if __name__ == "__main__":
    measure(sys.argv[1], int(sys.argv[2])) if len(sys.argv) > 1 else main()
