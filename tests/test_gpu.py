"""On a GPU, against the CPU; skipped where there is none. `make test-gpu` runs it."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf

GPUS = tf.config.list_physical_devices("GPU")
pytestmark = pytest.mark.skipif(not GPUS, reason="TensorFlow finds no GPU")
if len(GPUS) == 1:  # two replicas on one GPU; before TensorFlow is initialised
    part = tf.config.LogicalDeviceConfiguration(memory_limit=6000)
    tf.config.set_logical_device_configuration(GPUS[0], [part, part])

import labse_tf  # noqa: E402
from labse_tf.search.list_search import Lists, nearest_in_lists  # noqa: E402
from labse_tf.search.margins import align  # noqa: E402
from labse_tf.training.config import FineTuningConfig  # noqa: E402
from tests.conftest import SENTENCES  # noqa: E402
from tests.models import make_model  # noqa: E402
from tests.training.replicas import (  # noqa: E402
    CONFIG,
    global_batches,
    loss_and_gradients,
    make_dual_encoder,
    trained,
)

CPU, GPU = (tf.distribute.OneDeviceStrategy(f"{kind}:0") for kind in ("CPU", "GPU"))
LEAN = 1e-4  # of float32 sums in another order, of gradients whose norm is above 10


@pytest.fixture(autouse=True)
def tensor_float_32():
    """As it was, after a test that switched it."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    yield tf.config.experimental.enable_tensor_float_32_execution
    tf.config.experimental.enable_tensor_float_32_execution(before)


@pytest.mark.parametrize("options", [{}, {"chunk_size": 3}, {"static": True}])
@pytest.mark.parametrize("rounded", [False, True])
def test_a_ranking_step(options, rounded, tensor_float_32):
    """Loss and gradients, with dropout, plain and cached; TensorFloat-32 rounds to 11 bits."""
    tensor_float_32(rounded)
    compute = loss_and_gradients.__wrapped__
    loss, negatives, gradients = compute(CPU, dropout=0.3, **options)
    found = compute(GPU, dropout=0.3, **options)
    assert found[0] == pytest.approx(loss, rel=0.02 if rounded else 1e-5)
    assert found[1] == negatives
    norm = np.sqrt(sum(np.square(g).sum() for g in gradients))
    for a, b in zip(gradients, found[2], strict=True):
        np.testing.assert_allclose(b, a, atol=0.02 * norm if rounded else LEAN)


def test_embeddings_are_not_rounded(tensor_float_32):
    """Words, positions and types of a training step are looked up, not multiplied."""
    tensor_float_32(True)
    ((source, _),) = global_batches(1)
    found = []
    for strategy in (CPU, GPU):
        with strategy.scope():
            model = make_dual_encoder(num_layers=0)

        @tf.function
        def embed(data, model=model):
            options = {"training": True, "custom_gradients": True}
            return model.encoder(data, dropout_seed=tf.constant([1, 2]), **options)

        rows = strategy.run(embed, args=(tf.nest.map_structure(tf.constant, source),))
        found.append(rows["sequence_output"])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5, atol=1e-6)


def test_a_step_in_bfloat16():
    loss, _, gradients = loss_and_gradients.__wrapped__(CPU)
    with GPU.scope():
        model = make_dual_encoder()
        encoder = labse_tf.Encoder(CONFIG, dtype="mixed_bfloat16")
        encoder.set_weights(model.encoder.get_weights())
        model = labse_tf.DualEncoder(encoder, model.ranking_loss)
    (batch,) = global_batches(1)
    batch = tf.nest.map_structure(tf.constant, batch)
    with GPU.scope():
        model.compile("sgd")
    found, _, rounded = GPU.run(tf.function(model.gradients), args=(batch,))
    assert float(found) == pytest.approx(loss, rel=0.05)
    for a, b in zip(gradients, rounded, strict=True):
        a, b = a.ravel(), np.ravel(tf.convert_to_tensor(b))
        assert a @ b > 0.98 * np.linalg.norm(a) * np.linalg.norm(b)


def test_training_under_mirrored_strategy():
    """Two replicas, on as many GPUs as there are: the same weights as on the CPU alone."""
    history, weights = trained(CPU)
    devices = [device.name for device in tf.config.list_logical_devices("GPU")][:2]
    ops = tf.distribute.ReductionToOneDevice() if len(GPUS) == 1 else None
    strategy = tf.distribute.MirroredStrategy(devices, cross_device_ops=ops)
    assert strategy.num_replicas_in_sync == len(devices) == 2
    tf.config.experimental.enable_tensor_float_32_execution(False)
    found, mirrored = trained(strategy)
    assert found["loss"] == pytest.approx(history["loss"], rel=1e-4)
    for name, weight in weights.items():
        np.testing.assert_allclose(mirrored[name], weight, atol=1e-3)


@pytest.mark.parametrize("chunk_size", [0, 3])
def test_a_step_compiled_by_xla(chunk_size, tensor_float_32):
    tensor_float_32(False)
    model = make_dual_encoder(static=True, chunk_size=chunk_size, dropout=0.3)
    (batch,) = global_batches(1)
    batch = tf.nest.map_structure(tf.constant, batch)
    plain = tf.function(model.gradients)(batch)
    compiled = tf.function(model.gradients, jit_compile=True)(batch)
    assert "GPU" in compiled[0].device
    for a, b in zip(tf.nest.flatten(plain), tf.nest.flatten(compiled), strict=True):
        np.testing.assert_allclose(b, a, atol=1e-3)


@pytest.mark.parametrize(
    ("precision", "lowest"), [("float32", 0.99999), ("bfloat16", 0.999), ("float16", 0.9999)]
)
def test_encode(precision, lowest, vocab_file, vocab_size):
    """With TensorFloat-32, as a user has it."""
    found = []
    for device in ("CPU:0", "GPU:0"):
        with tf.device(device):
            model = make_model(vocab_file, vocab_size)
            found.append(model.encode(SENTENCES * 20, precision=precision, deduplicate=False))
    assert (found[0] * found[1]).sum(axis=1).min() > lowest


def test_a_release_of_the_gpu_is_read_on_the_cpu(vocab_file, vocab_size, tmp_path):
    with tf.device("GPU:0"):
        make_model(vocab_file, vocab_size).save(tmp_path / "release")
        there = labse_tf.load(tmp_path / "release").encode(SENTENCES)
    with tf.device("CPU:0"):
        here = labse_tf.load(tmp_path / "release").encode(SENTENCES)
    np.testing.assert_allclose(there, here, atol=2e-3)


def test_fine_tuning(vocab_file, vocab_size, tmp_path):
    """The whole of `fine_tune`, in every precision: it ends, with other weights."""
    pairs = tmp_path / "de-en.tsv"
    lines = [f"{a} {i}\t{b} {i}" for i in range(40) for a, b in itertools.pairwise(SENTENCES)]
    pairs.write_text("\n".join(line for line in lines if line.strip()) + "\n", encoding="utf-8")
    config = FineTuningConfig(
        steps=30, batch_size=32, learning_rate=3e-3, warmup_steps=2, scale=10.0, report_every=10
    )
    for precision in ("float32", "bfloat16", "float16"):
        model = make_model(vocab_file, vocab_size)
        before = model.encode(SENTENCES)
        config = dataclasses.replace(config, precision=precision)
        model = labse_tf.fine_tune(model, [str(pairs)], config, str(tmp_path / precision))
        change = np.abs(model.encode(SENTENCES) - before).max()
        assert np.isfinite(change) and change > 0.01


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_nearest(precision, tensor_float_32):
    """Exact, with TensorFloat-32 on: near ties, which its 11 bits cannot tell, too."""
    tensor_float_32(True)
    rng = np.random.default_rng(0)
    sources, targets = (
        rng.standard_normal([count, 64]).astype(np.float32) for count in (3000, 9000)
    )
    targets[4000:8000] = targets[:4000] * (1 + 1e-6 * rng.standard_normal([4000, 1]))
    sources, targets = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (sources, targets))
    products = sources.astype(np.float64) @ targets.astype(np.float64).T
    scores, rows = labse_tf.nearest(sources, targets, 5, precision=precision)
    # Of products that are equal in float32 the first candidate comes first.
    order = np.argsort(-products.astype(np.float32), axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(rows, order)
    np.testing.assert_allclose(scores, np.take_along_axis(products, order, 1), rtol=1e-6)
    both = align(sources, targets, margin="absolute", precision=precision)
    np.testing.assert_array_equal(both.sources, products.astype(np.float32).argmax(axis=0))


def test_inverted_lists():
    """Rows that are their own translation are found."""
    rng = np.random.default_rng(1)
    rows = rng.standard_normal([5000, 64]).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = nearest_in_lists(rows, rows[::-1].copy(), 4, Lists(40, 8, 4))
    assert (found.targets[:, 0] == np.arange(5000)[::-1]).mean() > 0.999
