"""A process of the training benchmark: it trains one system, and does what its parent says.

python -m tests.benchmark.training_worker SYSTEM FOLDER [one]

With "one" every step is of the same batch, of the sentences of median length.

It reads an order a line (JSON) on stdin and answers each with a line (JSON) on stdout.
"""

import itertools
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

SHAPE = dict(hidden_size=384, num_layers=6, num_heads=6, intermediate_size=1536, dropout=0.1)
SMALL, LARGE = 32_000, 501_153  # word pieces: the second is LaBSE's
BATCH, CHUNK, GLOBAL = 128, 128, 4096  # pairs
RATE, SCALE = 1e-4, 20.0
THREADS = 2

# name: library, word pieces, pairs of a step, options of ours or the precision of theirs
SYSTEMS = {
    "plain": ("ours", SMALL, BATCH, {}),
    "cached": ("ours", SMALL, GLOBAL, {"chunk_size": CHUNK}),
    "row-sparse": ("ours", LARGE, BATCH, {}),
    "dense": ("ours", LARGE, BATCH, {"row_sparse": False}),
    "Keras' AdamW": ("ours", LARGE, BATCH, {"keras": True}),
    "two replicas": ("ours", SMALL, BATCH, {"replicas": 2}),
    "bfloat16": ("ours", SMALL, BATCH, {"precision": "bfloat16"}),
    "sentence-transformers float32": ("theirs", SMALL, BATCH, "float32"),
    "sentence-transformers bfloat16": ("theirs", SMALL, BATCH, "bfloat16"),
}


def ours(batches, word_pieces, options):
    """A function that takes a step and returns its loss: DualEncoder, AdamW, clipping."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    replicas = options.get("replicas", 1)
    strategy = tf.distribute.get_strategy()
    if replicas > 1:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * replicas,
        )
        strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
    import tf_keras

    import labse_tf
    from labse_tf.encoder.precision import POLICIES
    from labse_tf.losses.ranking import AdditiveMarginRankingLoss
    from labse_tf.optimizers.adamw import AdamW

    policy = POLICIES[options.get("precision", "float32")]
    with strategy.scope():
        encoder = labse_tf.Encoder(
            labse_tf.EncoderConfig(word_pieces, max_positions=128, pooling="mean", **SHAPE),
            dtype=policy,
        )
        # Their loss: no margin, one direction.
        loss = AdditiveMarginRankingLoss(0.0, SCALE, bidirectional=False)
        keras = options.get("keras", False)
        model = labse_tf.DualEncoder(
            encoder, loss, clip_norm=1.0 - keras, chunk_size=options.get("chunk_size", 0)
        )
        table = encoder.embeddings.word.name.removesuffix(":0")
        if keras:
            optimizer = tf_keras.optimizers.AdamW(RATE, 0.01, global_clipnorm=1.0)
        else:
            sparse = options.get("row_sparse", True)
            optimizer = AdamW(RATE, 0.01, tables=[table] if sparse else [])
        optimizer.build(encoder.trainable_weights)
        model.compile(optimizer)

    def generate():
        for source, target in itertools.cycle(batches):
            yield tuple(
                dict(input_word_ids=ids, input_mask=mask, input_type_ids=np.zeros_like(ids))
                for ids, mask in (source, target)
            )

    spec = tf.TensorSpec([len(batches[0][0][0]), None], tf.int32)
    side = dict(input_word_ids=spec, input_mask=spec, input_type_ids=spec)
    dataset = tf.data.Dataset.from_generator(generate, output_signature=(side, side)).prefetch(2)
    iterator = iter(strategy.experimental_distribute_dataset(dataset) if replicas > 1 else dataset)
    train = model.make_train_function()

    def step():
        model.reset_metrics()
        return float(train(iterator)["loss"])

    return step


def theirs(batches, folder, precision):
    """The same with sentence-transformers' model and loss, and PyTorch's AdamW and clipping."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    torch.set_num_threads(THREADS)
    model = SentenceTransformer(str(folder / "hugging-face"), device="cpu").train()
    loss = MultipleNegativesRankingLoss(model, scale=SCALE)
    optimizer = torch.optim.AdamW(model.parameters(), RATE, eps=1e-6, weight_decay=0.01)
    features = itertools.cycle(
        [
            dict(
                input_ids=torch.tensor(ids, dtype=torch.int64),
                attention_mask=torch.tensor(mask, dtype=torch.int64),
                token_type_ids=torch.zeros(ids.shape, dtype=torch.int64),
            )
            for ids, mask in batch
        ]
        for batch in batches
    )

    def step():
        optimizer.zero_grad()
        rough = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")
        with rough:
            value = loss([dict(side) for side in next(features)], None)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return float(value)

    return step


def read_batches(folder, pairs):
    """Batches of [(ids, mask) of sources, of targets], each as wide as its longest sentence."""
    with np.load(folder / f"batches-{pairs}.npz") as file:
        count = len(file.files) // 4
        return [
            [(file[f"{i}/{side}/ids"], file[f"{i}/{side}/mask"]) for side in (0, 1)]
            for i in range(count)
        ]


def main(name, folder, one_batch=""):
    folder = Path(folder)
    library, word_pieces, pairs, options = SYSTEMS[name]
    batches = read_batches(folder, pairs)
    if one_batch:
        batches = batches[len(batches) // 2 :][:1]
    if library == "ours":
        step = ours(batches, word_pieces, options)
    else:
        step = theirs(batches, folder, options)
    for line in sys.stdin:
        order = json.loads(line)
        if order["order"] == "memory":
            with open("/proc/self/status") as file:
                peak = next(int(row.split()[1]) for row in file if row.startswith("VmHWM"))
            answer = {"peak_bytes": 1024 * peak}
        else:
            start = time.perf_counter()
            losses = [step() for _ in range(order["steps"])]
            answer = {"seconds": time.perf_counter() - start, "losses": losses}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    answers = os.dup(1)  # what libraries print does not get among the answers
    os.dup2(2, 1)
    sys.stdout = os.fdopen(answers, "w")
    main(*sys.argv[1:])
