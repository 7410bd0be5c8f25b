"""Replicas against one device on the same global batch: loss, gradients, weights."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from labse_tf import AdditiveMarginRankingLoss, DualEncoder, Encoder, EncoderConfig
from labse_tf.encoder.encoder import INPUTS
from labse_tf.optimizers.adamw import AdamW
from tests.two_workers import run_two_workers

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


def make_dual_encoder(clip_norm=0.5, **options):
    """The same weights at every call; the clipping bites (the gradient's norm is above 10)."""
    encoder = Encoder(CONFIG)
    rng = np.random.default_rng(5)
    for weight in encoder.weights:
        weight.assign(rng.normal(scale=0.3, size=weight.shape) + ("scale" in weight.name))
    loss = AdditiveMarginRankingLoss(margin=0.3, scale=10.0)
    model = DualEncoder(encoder, loss, clip_norm=clip_norm, **options)
    table = encoder.embeddings.word.name.removesuffix(":0")
    optimizer = AdamW(0.01, weight_decay=0.05, tables=[table])
    optimizer.build(encoder.trainable_weights)
    model.compile(optimizer)
    return model


def loss_and_gradients(strategy, hard_negatives=0, **options):
    """Global loss, mean negatives and summed gradients of one global batch."""
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


def trained(strategy, steps=STEPS, **options):
    """Logs of the last step's epoch, and the weights after `fit`."""
    with strategy.scope():
        model = make_dual_encoder(**options)
    batches = list(global_batches(steps))
    dataset = tf.data.Dataset.from_tensor_slices(
        tf.nest.map_structure(lambda *x: np.concatenate(x), *batches)
    ).batch(GLOBAL_BATCH)
    history = model.fit(dataset, verbose=0).history
    return history, {w.name: w.numpy() for w in model.encoder.weights}


@pytest.fixture(scope="module")
def one_device():
    return trained(tf.distribute.get_strategy())


@pytest.mark.parametrize("replicas", [2, 4])
def test_loss_and_every_gradient(replicas, mirrored):
    loss, negatives, gradients = loss_and_gradients(tf.distribute.get_strategy())
    loss_n, negatives_n, gradients_n = loss_and_gradients(mirrored(replicas))
    assert loss == pytest.approx(loss_n, abs=1e-5)
    # 8 pairs, of which two do not count against each other: (6 * 7 + 2 * 6) / 8.
    assert negatives == negatives_n == 6.75
    for a, b in zip(gradients, gradients_n, strict=True):
        np.testing.assert_allclose(b, a, atol=1e-5)
        # Softmax is blind to a shift, so the key bias has no gradient; all others have one.
    assert sum(np.abs(g).max() > 1e-3 for g in gradients) == len(gradients)


@pytest.mark.parametrize("replicas", [1, 2, 4])
def test_hard_negatives_of_all_replicas(replicas, mirrored):
    """Two a pair, in NumPy: every source against all targets and everybody's negatives."""
    strategy = mirrored(replicas) if replicas > 1 else tf.distribute.get_strategy()
    loss, negatives, gradients = loss_and_gradients(strategy, hard_negatives=2)
    (batch,) = global_batches(1, 2)
    model = make_dual_encoder()
    x, y, z = (e / np.linalg.norm(e, axis=1, keepdims=True) for e in map(np.array, model(batch)))
    expected = 0.0
    for i in range(GLOBAL_BATCH):
        others = [j for j in range(GLOBAL_BATCH) if j != i and {i, j} != {1, 6}]
        hard = [j for j in range(2 * GLOBAL_BATCH) if (i, j) != (5, 6)]  # 6 is target 5 itself
        own = np.exp(10 * (x[i] @ y[i] - 0.3))
        to_y = np.exp(10 * x[i] @ y[others].T).sum() + np.exp(10 * x[i] @ z[hard].T).sum()
        to_x = np.exp(10 * y[i] @ x[others].T).sum()
        expected -= np.log(own / (own + to_y)) + np.log(own / (own + to_x))
    assert loss == pytest.approx(expected / GLOBAL_BATCH, abs=1e-5)
    assert negatives == pytest.approx(6.75 + (16 * 8 - 1) / 8)
    cached = loss_and_gradients(strategy, hard_negatives=2, chunk_size=2)
    whole = loss_and_gradients(tf.distribute.get_strategy(), hard_negatives=2)
    for a, b, c in zip(whole[2], gradients, cached[2], strict=True):
        np.testing.assert_allclose(b, a, atol=1e-5)
        np.testing.assert_allclose(c, a, atol=1e-5)


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("static", [False, True])
def test_gradient_caching(replicas, static, mirrored):
    strategy = mirrored(replicas) if replicas > 1 else tf.distribute.get_strategy()
    loss, negatives, gradients = loss_and_gradients(tf.distribute.get_strategy())
    cached = loss_and_gradients(strategy, chunk_size=2, static=static)
    assert cached[0] == pytest.approx(loss, abs=1e-5) and cached[1] == negatives
    for a, b in zip(gradients, cached[2], strict=True):
        np.testing.assert_allclose(b, a, atol=1e-5)


def test_weights_after_training_in_chunks(one_device):
    history, weights = trained(tf.distribute.get_strategy(), chunk_size=4)
    for name, expected in one_device[1].items():
        np.testing.assert_allclose(weights[name], expected, atol=1e-5, err_msg=name)
    assert history["loss"] == pytest.approx(one_device[0]["loss"], abs=1e-5)


@pytest.mark.parametrize("replicas", [2, 4])
def test_weights_after_training_with_clipping(replicas, mirrored, one_device):
    history, weights = trained(mirrored(replicas))
    history_1, weights_1 = one_device
    assert history["loss"] == pytest.approx(history_1["loss"], abs=1e-5)
    assert history["negatives"] == history_1["negatives"] == [6.75]
    for name in weights_1:
        np.testing.assert_allclose(weights[name], weights_1[name], atol=1e-5, err_msg=name)


def test_reported_loss_is_the_global_loss(mirrored):
    # The step's own figures against the loss function on the whole batch, outside of `fit`.
    with mirrored(2).scope():
        model = make_dual_encoder()
    whole = make_dual_encoder()
    (batch,) = global_batches(1)
    expected, _ = whole.ranking_loss(*whole(batch), *(token_key(side) for side in batch))
    dataset = tf.data.Dataset.from_tensor_slices(batch).batch(GLOBAL_BATCH)
    assert model.evaluate(dataset, verbose=0, return_dict=True)["loss"] == pytest.approx(
        float(expected), abs=1e-5
    )
    assert model.fit(dataset, verbose=0).history["loss"][0] == pytest.approx(
        float(expected), abs=1e-5
    )


def token_key(side):
    """An independent key of a sentence: its ids in base 1000, folded to two int32."""
    keys = [hash(tuple(row[row > 0])) for row in side["input_word_ids"]]
    return np.array([[k & 0x7FFFFFFF, (k >> 31) & 0x7FFFFFFF] for k in keys], np.int32)


def test_clipping_bites():
    _, clipped = trained(tf.distribute.get_strategy(), steps=1)
    model = make_dual_encoder(clip_norm=0)
    (batch,) = global_batches(1)
    model.fit(tf.data.Dataset.from_tensor_slices(batch).batch(GLOBAL_BATCH), verbose=0)
    # AdamW's first step hardly depends on the gradient's length; its second moment does.
    free = {w.name: w.numpy() for w in model.encoder.weights}
    assert max(np.abs(free[n] - clipped[n]).max() for n in clipped) > 1e-6
    _, _, gradients = loss_and_gradients(tf.distribute.get_strategy())
    assert np.sqrt(sum((g**2).sum() for g in gradients)) > 1.0


def test_clipping_takes_the_norm_of_whole_gradients():
    # A word that occurs twice has one row in the table, and so one gradient: the sum of both.
    # Plain gradient descent of rate 0.1: w - 0.1 g 0.5 / |g|, the norm over all weights.
    _, _, gradients = loss_and_gradients(tf.distribute.get_strategy())
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    model = make_dual_encoder(clip_norm=0.5)
    before = [w.numpy() for w in model.trainable_variables]
    model.compile(tf_keras.optimizers.SGD(0.1))
    (batch,) = global_batches(1)
    model.fit(tf.data.Dataset.from_tensor_slices(batch).batch(GLOBAL_BATCH), verbose=0)
    for old, g, new in zip(before, gradients, model.trainable_variables, strict=True):
        np.testing.assert_allclose(new, old - 0.1 * g * 0.5 / norm, atol=1e-6, err_msg=new.name)


def test_two_worker_processes(one_device, tmp_path):
    history_1, weights_1 = one_device
    losses = run_two_workers(tmp_path)
    for worker in range(2):
        with np.load(tmp_path / f"worker-{worker}.npz") as saved:
            assert set(saved.files) == set(weights_1)
            for name, weight in weights_1.items():
                np.testing.assert_allclose(saved[name], weight, atol=1e-5, err_msg=name)
    assert losses == pytest.approx([history_1["loss"][0]] * 2, abs=1e-5)


@pytest.mark.parametrize("chunk_size", [0, 4])
def test_encoder_and_loss_compile_with_xla(chunk_size):
    model = make_dual_encoder(static=True, chunk_size=chunk_size)
    (batch,) = global_batches(1)
    batch = tf.nest.map_structure(tf.constant, batch)

    def step(data):
        loss, _, gradients = model.gradients(data)
        return loss, gradients

    signature = [tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), batch)]
    plain = tf.function(step, input_signature=signature)(batch)
    compiled = tf.function(step, input_signature=signature, jit_compile=True)
    for a, b in zip(tf.nest.flatten(plain), tf.nest.flatten(compiled(batch)), strict=True):
        np.testing.assert_allclose(b, a, atol=1e-4)
    hlo = compiled.experimental_get_compiler_ir(batch)(stage="hlo")
    assert "<=" not in hlo  # bounded dynamic dimensions are written so: f32[<=8]


@pytest.mark.parametrize("chunk_size", [0, 4])
def test_every_shape_of_a_step_is_static(chunk_size):
    """As a TPU's compiler wants it: of each op's output in the graph of a whole training step."""
    model = make_dual_encoder(static=True, chunk_size=chunk_size)
    (batch,) = global_batches(1, 1)
    signature = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, tf.int32), batch)
    graph = tf.function(model.train_step, autograph=False).get_concrete_function(signature).graph
    graphs = [graph, *(f.graph for f in graph._functions.values())]
    assert len(graphs) >= (9 if chunk_size else 1)  # with conditions and bodies of loops
    dynamic = [
        (op.type, op.name)
        for g in graphs
        for op in g.get_operations()
        for output in op.outputs
        if output.consumers()  # loops have placeholders for what they do not use
        and output.dtype not in (tf.resource, tf.variant)
        and not output.shape.is_fully_defined()
    ]
    assert not dynamic, dynamic[:5]
