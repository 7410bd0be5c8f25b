"""Gradient caching: chunks against the whole batch, dropout, and what XLA and TPUs need."""

import numpy as np
import pytest
import tensorflow as tf

from tests.training.replicas import (
    ONE_DEVICE,
    global_batches,
    loss_and_gradients,
    make_dual_encoder,
)


@pytest.mark.parametrize(
    ("replicas", "chunk_size", "static"),
    [(1, 3, False), (1, 100, True), (2, 3, True), (2, 1, False)],
)
def test_gradient_caching(replicas, chunk_size, static, mirrored):
    """Equal to the plain step, with dropout, also in chunks that a batch cannot be divided into."""
    strategy = mirrored(replicas) if replicas > 1 else ONE_DEVICE
    loss, negatives, gradients = loss_and_gradients(dropout=0.3)
    cached = loss_and_gradients(strategy, chunk_size=chunk_size, static=static, dropout=0.3)
    assert cached[0] == pytest.approx(loss, abs=1e-5) and cached[1] == negatives
    for a, b in zip(gradients, cached[2], strict=True):
        np.testing.assert_allclose(b, a, atol=1e-5)
    assert abs(loss_and_gradients()[0] - loss) > 0.01  # it does drop


def test_a_batch_of_unknown_size_in_chunks():
    """And hard negatives, of which there are more rows: 16 in chunks of 5 are 4 of 4."""
    model = make_dual_encoder(chunk_size=5, num_layers=0, dropout=0.3)
    (batch,) = global_batches(1, 2)
    signature = [tf.nest.map_structure(lambda x: tf.TensorSpec([None, 6], tf.int32), batch)]
    cached = tf.function(lambda data: model.gradients(data)[:2], input_signature=signature)(batch)
    loss, negatives, _ = loss_and_gradients(hard_negatives=2, num_layers=0, dropout=0.3)
    np.testing.assert_allclose(cached, [loss, negatives], rtol=1e-5)


@pytest.mark.parametrize("chunk_size", [0, 3])
def test_encoder_and_loss_compile_with_xla(chunk_size):
    model = make_dual_encoder(static=True, chunk_size=chunk_size, dropout=0.3)
    (batch,) = global_batches(1, 1)
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


@pytest.mark.parametrize("chunk_size", [0, 3])
def test_every_shape_of_a_step_is_static(chunk_size):
    """As a TPU's compiler wants it: of each op's output in the graph of a whole training step."""
    model = make_dual_encoder(static=True, chunk_size=chunk_size, dropout=0.3)
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
