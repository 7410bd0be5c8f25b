"""The cross entropy over a large vocabulary, without ever holding all of its logits."""

from __future__ import annotations

import tensorflow as tf

from labse_tf.encoder.layers import shape_of

DEFAULT_CHUNK_BYTES = 2**28  # of logits in float32; 133 positions of LaBSE's 501,153 word pieces


def masked_cross_entropy(
    hidden: tf.Tensor,
    table: tf.Tensor,
    bias: tf.Tensor,
    labels: tf.Tensor,
    weights: tf.Tensor,
    *,
    training: bool,
    chunk_bytes: int = DEFAULT_CHUNK_BYTES,
) -> tuple[tf.Tensor, tf.Tensor]:
    """-log softmax(hidden table^T + bias)[label], summed over positions, some at a time.

    The logits of a chunk of positions are computed, turned into the loss and at once into their
    share of the gradients, and dropped. So there is one chunk's logits in memory, they are computed
    once, and all that the backward pass does is to scale gradients. That of `table` is as large as
    `table`, and a chunk's share of it as well.

    Args:
        hidden: [positions, hidden], float32 or bfloat16, which is what the matmuls compute in.
        table: float32 [vocabulary, hidden], the word embeddings; its shape is static.
        bias: float32 [vocabulary].
        labels: int32 [positions].
        weights: float32 [positions]; those of 0 are best put last, where whole chunks of them cost
            nothing.
        training: whether gradients are wanted.
        chunk_bytes: most memory for logits, but at least one position.

    Returns:
        Two float32 scalars: the weighted sum of the losses, differentiable with respect to
        `hidden`, `table` and `bias`; and the weighted number of positions where the label has the
        highest logit.
    """
    positions, width = shape_of(hidden)
    chunk = max(1, chunk_bytes // (4 * table.shape[0]))
    if isinstance(positions, int):
        chunk = max(1, min(chunk, positions))
    padding = -positions % chunk
    hidden = tf.pad(hidden, [[0, padding], [0, 0]])
    labels, weights = (
        tf.reshape(tf.pad(x, [[0, padding]]), [-1, chunk]) for x in (labels, weights)
    )
    used = 1 + tf.reduce_max(
        tf.where(weights != 0, tf.range(tf.shape(weights)[0])[:, tf.newaxis], -1)
    )
    dtype = hidden.dtype

    def sums(hidden, table, bias):
        hidden = tf.reshape(hidden, [-1, chunk, width])
        chunks = shape_of(hidden)[0]
        cast = tf.cast(table, dtype)

        def of_chunk(i):
            """Shares of the totals: loss, correct ones, gradients; and the gradient of its x."""
            x, label, weight = hidden[i], labels[i], weights[i]
            logits = tf.cast(tf.matmul(x, cast, transpose_b=True), tf.float32)
            logits = tf.nn.bias_add(logits, bias)
            best = tf.reduce_max(logits, axis=1) <= tf.gather(logits, label, batch_dims=1)
            correct = tf.reduce_sum(tf.where(best, weight, 0.0))
            losses, d_logits = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(
                features=logits, labels=label
            )
            loss = tf.reduce_sum(losses * weight)
            if not training:
                return (loss, correct), None
            # The weights go where there are fewer numbers than in d_logits.
            d_bias = tf.matmul(weight[tf.newaxis, :], d_logits)[0]
            d_logits, weight = tf.cast(d_logits, dtype), tf.cast(weight, dtype)[:, tf.newaxis]
            d_table = tf.cast(tf.matmul(d_logits, x * weight, transpose_a=True), tf.float32)
            return (loss, correct, d_bias, d_table), tf.matmul(d_logits, cast) * weight

        def step(i, rows, *totals):
            shares, d_x = of_chunk(i)
            rows = rows.write(i, d_x) if training else rows
            return i + 1, rows, *(a + b for a, b in zip(totals, shares, strict=True))

        rows = tf.TensorArray(dtype, chunks, element_shape=[chunk, width])
        # The first one is not added to zeros, which would be as large as the table.
        totals, d_x = of_chunk(0)
        rows = rows.write(0, d_x) if training else rows
        if not isinstance(chunks, int) or chunks > 1:
            _, rows, *totals = tf.while_loop(
                lambda i, *_: i < used, step, [tf.constant(1), rows, *totals], parallel_iterations=1
            )
        loss, correct, *gradients = totals

        def gradient(d_loss, _):
            d_bias, d_table = gradients
            d_hidden = tf.reshape(rows.stack(), [-1, width])
            return d_hidden * tf.cast(d_loss, dtype), d_table * d_loss, d_bias * d_loss

        return (loss, correct), gradient

    if training:
        return tf.custom_gradient(sums)(hidden, table, bias)
    return sums(hidden, table, bias)[0]
