"""Gradient caching: chunks against the whole batch, dropout, and what XLA and TPUs need."""

import numpy as np
import pytest
import tensorflow as tf

import labse_tf
from labse_tf.losses.ranking import token_fingerprint
from labse_tf.training.gradient_caching import _fold
from tests.training.replicas import (
    ONE_DEVICE,
    global_batches,
    loss_and_gradients,
    make_dual_encoder,
)


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("static", [False, True])
def test_gradient_caching(replicas, static, mirrored):
    strategy = mirrored(replicas) if replicas > 1 else ONE_DEVICE
    loss, negatives, gradients = loss_and_gradients()
    cached = loss_and_gradients(strategy, chunk_size=2, static=static)
    assert cached[0] == pytest.approx(loss, abs=1e-5) and cached[1] == negatives
    for a, b in zip(gradients, cached[2], strict=True):
        np.testing.assert_allclose(b, a, atol=1e-5)


def test_dropout_is_the_same_in_both_passes_of_a_chunk():
    """Against one differentiated pass in the same chunks, with the same seeds."""
    tf.random.set_seed(0)
    config = labse_tf.EncoderConfig.small(30, num_layers=1, dropout=0.3)
    model = labse_tf.DualEncoder(labse_tf.Encoder(config), chunk_size=2)
    model.compile("sgd")
    rng = np.random.default_rng(0)
    sides = []
    for _ in range(2):
        ids = tf.constant(rng.integers(1, 30, [6, 5]), tf.int32)
        sides.append(
            dict(
                input_word_ids=ids,
                input_mask=tf.ones_like(ids),
                input_type_ids=tf.zeros_like(ids),
            )
        )
    loss, _, gradients = tf.function(model.gradients)(tuple(sides))
    seeds = model._seeds(2)
    variables = model.encoder.trainable_weights
    with tf.GradientTape() as tape:
        embeddings = [
            tf.concat(
                [
                    model._embed(
                        {k: v[i : i + 2] for k, v in side.items()}, _fold(seed, i // 2), False
                    )
                    for i in (0, 2, 4)
                ],
                axis=0,
            )
            for side, seed in zip(sides, seeds)
        ]
        fingerprints = [token_fingerprint(s["input_word_ids"], s["input_mask"]) for s in sides]
        expected, _ = model.ranking_loss(*embeddings, *fingerprints)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    for a, b in zip(gradients, tape.gradient(expected, variables), strict=True):
        a, b = tf.convert_to_tensor(a), tf.convert_to_tensor(b)
        np.testing.assert_allclose(a, b, atol=1e-5 * max(1, np.abs(b).max()))
    plain = [np.array(e) for e in model(tuple(sides))]
    assert max(np.abs(p - e).max() for p, e in zip(plain, embeddings)) > 0.01  # it does drop


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
