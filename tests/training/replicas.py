"""A small dual encoder on the same global batches, under any strategy."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from labse_tf import AdditiveMarginRankingLoss, DualEncoder, Encoder, EncoderConfig
from labse_tf.encoder.encoder import INPUTS
from labse_tf.encoder.precision import computing_in
from labse_tf.optimizers.adamw import AdamW

GLOBAL_BATCH, WIDTH, STEPS = 8, 6, 4
CONFIG = EncoderConfig(
    vocab_size=40,
    hidden_size=12,
    num_layers=1,
    num_heads=3,
    intermediate_size=20,
    max_positions=8,
    dropout=0.0,
)
ONE_DEVICE = tf.distribute.get_strategy()


def global_batches(steps=STEPS, hard_negatives=0):
    """(source, target) batches; every replica's share differs, and targets 1 and 6 are equal.

    With hard negatives (source, target, negative), the first of pair 3 being target 5.
    """
    rng = np.random.default_rng(3)

    def side(count=GLOBAL_BATCH):
        lengths = rng.integers(3, WIDTH + 1, [count, 1])
        mask = (np.arange(WIDTH) < lengths).astype(np.int32)
        ids = rng.integers(1, CONFIG.vocab_size, mask.shape).astype(np.int32) * mask
        return dict(zip(INPUTS, (ids, mask, np.zeros_like(mask))))

    for _ in range(steps):
        source, target = side(), side()
        for values in target.values():
            values[6] = values[1]
        if not hard_negatives:
            yield source, target
            continue
        negative = side(GLOBAL_BATCH * hard_negatives)
        for name, values in negative.items():
            values[3 * hard_negatives] = target[name][5]
        yield source, target, negative


def make_dual_encoder(clip_norm=0.5, num_layers=1, dropout=0.0, precision="float32", **options):
    """The same weights at every call; the clipping bites (the gradient's norm is above 10)."""
    encoder = Encoder(dataclasses.replace(CONFIG, num_layers=num_layers, dropout=dropout))
    rng = np.random.default_rng(5)
    for weight in encoder.weights:
        weight.assign(rng.normal(scale=0.3, size=weight.shape) + ("scale" in weight.name))
    loss = AdditiveMarginRankingLoss(margin=0.3, scale=10.0)
    model = DualEncoder(computing_in(encoder, precision), loss, clip_norm=clip_norm, **options)
    table = encoder.embeddings.word.name.removesuffix(":0")
    optimizer = AdamW(0.01, weight_decay=0.05, tables=[table], loss_scaling=precision == "float16")
    optimizer.build(encoder.trainable_weights)
    model.compile(optimizer)
    return model


@functools.cache
def loss_and_gradients(strategy=ONE_DEVICE, hard_negatives=0, **options):
    """Global loss, mean negatives and summed gradients of one global batch; computed once."""
    with strategy.scope():
        model = make_dual_encoder(**options)
    (batch,) = global_batches(1, hard_negatives)

    def of_replica(context):
        def share(x):
            rows = len(x) // strategy.num_replicas_in_sync
            start = context.replica_id_in_sync_group * rows
            return tf.constant(x[start : start + rows])

        return tf.nest.map_structure(share, batch)

    step = tf.function(model.gradients)
    data = strategy.experimental_distribute_values_from_function(of_replica)
    loss, negatives, gradients = strategy.run(step, args=(data,))
    gradients = [
        sum(
            tf.convert_to_tensor(local).numpy()
            for local in strategy.experimental_local_results(gradient)
        )
        for gradient in gradients
    ]
    losses = strategy.experimental_local_results(loss)
    means = strategy.experimental_local_results(negatives)
    return sum(map(float, losses)), np.mean(means), gradients


def trained(strategy=ONE_DEVICE, steps=STEPS, **options):
    """Logs of the last step's epoch, and the weights after `fit`."""
    with strategy.scope():
        model = make_dual_encoder(**options)
    batches = list(global_batches(steps))
    dataset = tf.data.Dataset.from_tensor_slices(
        tf.nest.map_structure(lambda *x: np.concatenate(x), *batches)
    ).batch(GLOBAL_BATCH)
    history = model.fit(dataset, verbose=0).history
    return history, {w.name: w.numpy() for w in model.encoder.weights}
