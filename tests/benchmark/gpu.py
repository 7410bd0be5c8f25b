"""LaBSE's size on a GPU: sentences and pairs a second, and how busy the GPU is.

python -m tests.benchmark.gpu [--theirs PYTHON]

12 layers of 768 with random weights, the vocabulary of labse-mini, the sentences of the sample.
PYTHON is one that has sentence-transformers and a PyTorch for the GPU: the same weights by it.
"""

import argparse
import gzip
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "training" / "sample"
VOCABULARY = ROOT / "labse_tf" / "models" / "labse-mini" / "assets" / "vocab.txt"
SENTENCES, ROUNDS = 40_000, 2
EMBEDDING = [(p, t) for p in ("float32", "bfloat16") for t in (4096, 16_384, 65_536)]
# precision, pairs of a step, pairs embedded at a time
TRAINING = [("float32", 256, 0), ("bfloat16", 256, 0), ("bfloat16", 4096, 512)]
STEPS = 10
ROWS, DIM = 200_000, 768  # of the search


class Busy:
    """Mean utilisation of the GPU in a block, in percent, as nvidia-smi says it."""

    def __enter__(self):
        self._values, self._end = [], threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()
        return self

    def _ask(self):
        while not self._end.wait(0.2):
            self._values.append(float(_nvidia_smi("utilization.gpu")))

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()
        self.percent = float(np.mean(self._values)) if self._values else float("nan")


def main() -> None:
    sys.stdout.reconfigure(line_buffering=True)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--theirs", help="a Python that has sentence-transformers")
    parser.add_argument("--sentence-transformers", metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--sentences", type=int, default=SENTENCES)
    flags = parser.parse_args()
    sentences, pairs = _read(flags.sentences)
    if flags.sentence_transformers:
        return _theirs(flags.sentence_transformers, sentences)
    import tensorflow as tf

    import labse_tf

    if not tf.config.list_physical_devices("GPU"):
        raise SystemExit("error: TensorFlow finds no GPU.")
    print(f"{_nvidia_smi('name')}, driver {_nvidia_smi('driver_version')}, {os.cpu_count()} cores")
    preprocessor = labse_tf.Preprocessor(str(VOCABULARY), tokenization="hugging-face")
    config = labse_tf.EncoderConfig(preprocessor.vocab_size)
    model = labse_tf.LaBSE(preprocessor, labse_tf.Encoder(config))
    _embedding(model, sentences)
    if flags.theirs:
        with tempfile.TemporaryDirectory() as folder:
            from labse_tf.pretrained import hugging_face

            path = Path(folder) / "model"
            hugging_face.write(path, model.preprocessor, model.encoder)
            subprocess.run(
                [flags.theirs, __file__, "--sentence-transformers", path,
                 "--sentences", str(flags.sentences)],
                check=True,
                env={k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "LD_"))},
            )  # fmt: skip
    for row in TRAINING:
        _training(config, preprocessor, pairs, *row)
    _search()


def _read(count: int) -> tuple[list[str], list[list[str]]]:
    pairs = []
    for path in sorted(SAMPLE.glob("*.train.tsv.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            pairs += [line.rstrip("\n").split("\t")[:2] for line in file]
    pairs = [pairs[i] for i in np.random.default_rng(0).permutation(len(pairs))]
    return [pair[i % 2] for i, pair in enumerate(pairs[:count])], pairs


def _embedding(model, sentences: list[str]) -> None:
    print(f"\nembedding {len(sentences):,} sentences: sentences/s, GPU busy, most GPU memory")
    for precision, tokens in EMBEDDING:
        _reset_memory()

        def embed(precision=precision, tokens=tokens):
            options = dict(precision=precision, batch_tokens=tokens, deduplicate=False)
            model.encode(sentences, show_progress=False, **options)

        embed()  # traces, and tunes
        begin = time.perf_counter()
        with Busy() as busy:
            for _ in range(ROUNDS):
                embed()
        speed = ROUNDS * len(sentences) / (time.perf_counter() - begin)
        print(
            f"{precision:9} {tokens:>6} tokens a batch {speed:>9,.0f} {busy.percent:>5.0f}% "
            f"{_memory():>6.1f} GB",
            flush=True,
        )


def _theirs(folder: str, sentences: list[str]) -> None:
    import torch
    from sentence_transformers import SentenceTransformer

    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        model = SentenceTransformer(folder, device="cuda", model_kwargs={"torch_dtype": dtype})
        for size in (32, 256):
            model.encode(sentences[:2000], batch_size=size)
            begin = time.perf_counter()
            model.encode(sentences, batch_size=size)
            speed = len(sentences) / (time.perf_counter() - begin)
            print(
                f"sentence-transformers {name}, {size} sentences a batch {speed:>9,.0f}", flush=True
            )


def _training(config, preprocessor, pairs, precision: str, batch: int, chunk: int) -> None:
    """Whole `fit` steps on prepared batches; the first is not timed."""
    import tensorflow as tf

    import labse_tf
    from labse_tf.encoder.precision import POLICIES
    from labse_tf.optimizers.adamw import AdamW

    encoder = labse_tf.Encoder(config, dtype=POLICIES[precision])
    model = labse_tf.DualEncoder(encoder, clip_norm=1.0, chunk_size=chunk)
    optimizer = AdamW(1e-5, 0.01, tables=[encoder.embeddings.word.name.removesuffix(":0")])
    optimizer.build(encoder.trainable_weights)
    model.compile(optimizer)
    batches = []
    for step in range(STEPS):
        part = pairs[step * batch : (step + 1) * batch]
        batches.append(tuple(dict(preprocessor(tf.constant(side))) for side in zip(*part)))
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(batches),
        output_signature=tf.nest.map_structure(
            lambda x: tf.TensorSpec(x.shape, x.dtype), batches[0]
        ),
    ).cache()
    _reset_memory()
    model.fit(dataset, verbose=0)
    begin = time.perf_counter()
    with Busy() as busy:
        model.fit(dataset, epochs=ROUNDS, verbose=0)
    speed = ROUNDS * STEPS * batch / (time.perf_counter() - begin)
    print(
        f"training {precision:9} {batch:>5} pairs a step, {chunk or batch:>4} at a time: "
        f"{speed:>7,.0f} pairs/s, GPU busy {busy.percent:.0f}%, {_memory():.1f} GB",
        flush=True,
    )


def _search() -> None:
    from labse_tf.search.margins import align

    rng = np.random.default_rng(0)
    rows = rng.standard_normal([2, ROWS, DIM], np.float32)
    rows /= np.linalg.norm(rows, axis=2, keepdims=True)
    for precision in ("float32", "bfloat16"):
        align(rows[0, :4000], rows[1, :9000], precision=precision)
        begin = time.perf_counter()
        with Busy() as busy:
            align(rows[0], rows[1], precision=precision)
        print(
            f"margins of {ROWS:,} x {ROWS:,} x {DIM}, {precision}: "
            f"{time.perf_counter() - begin:.1f} s, GPU busy {busy.percent:.0f}%",
            flush=True,
        )


def _reset_memory() -> None:
    import tensorflow as tf

    tf.config.experimental.reset_memory_stats("GPU:0")


def _memory() -> float:
    import tensorflow as tf

    return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e9


def _nvidia_smi(what: str) -> str:
    command = ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader,nounits", "--id=0"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
