"""The cross entropy over a large vocabulary, computed in chunks of logits."""

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
    gradient_scale: tf.Tensor | float = 1.0,
) -> tuple[tf.Tensor, tf.Tensor]:
    """-log softmax(hidden table^T + bias)[label], summed over positions, in chunks of these.

    The logits of a chunk are computed, turned into its loss and its part of the gradients, and
    dropped: memory holds the logits of one chunk, and they are computed once. The backward pass
    only scales the gradients. That of `table` is as large as `table`, and a chunk's part of it too.

    Args:
        hidden: [positions, hidden]; its dtype is what the matmuls compute in.
        table: float32 [vocabulary, hidden], the word embeddings; its shape is static.
        bias: float32 [vocabulary].
        labels: int32 [positions].
        weights: float32 [positions]; put those of 0 last, where whole chunks of them are skipped.
        training: whether to compute gradients.
        chunk_bytes: of a chunk's logits in float32, at most; a chunk has at least one position.
        gradient_scale: Factor of the logits' gradients before they are cast to the dtype of
            `hidden`; the results are divided by it. In float16, pass the gradient that will arrive
            at the loss (the loss scale over the number of positions), or most of the logits'
            gradients become 0.

    Returns:
        Two float32 scalars: the weighted sum of the losses, differentiable with respect to
        `hidden`, `table` and `bias`; and the weighted number of positions where the label is
        predicted: of the highest logits, of which bfloat16 often has several, the first one counts.
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
        """The two sums, and the function that gives their gradients: for `tf.custom_gradient`.

        With logits z, p = softmax(z) and a weight w, the gradient of w * -log p[label] with respect
        to z is d = w * (p - one_hot(label)). From it follow d @ table for `hidden`, d^T @ hidden
        for `table` and the sum of d for `bias`; none needs the logits of other positions.

        Example: 5 positions, the first 3 of weight 1, in chunks of 2, and 50 word pieces. A padded
        sixth position makes 3 chunks, and `used` is 2. Chunk 0 (positions 0 and 1) is computed
        before the loop, chunk 1 (positions 2 and 3) in it, chunk 2 not at all: [2, 50] logits each
        time, and the gradient of `table`, [50, width], is the sum of the two chunks' parts.
        """
        hidden = tf.reshape(hidden, [-1, chunk, width])
        chunks = shape_of(hidden)[0]
        cast = tf.cast(table, dtype)

        def chunk_sums(i):
            """Loss, number of correct ones and gradients of chunk i; and that of its `hidden`."""
            x, label, weight = hidden[i], labels[i], weights[i]
            logits = tf.cast(tf.matmul(x, cast, transpose_b=True), tf.float32)
            logits = tf.nn.bias_add(logits, bias)
            predicted = tf.argmax(logits, axis=1, output_type=tf.int32)
            correct = tf.reduce_sum(tf.where(predicted == label, weight, 0.0))
            losses, d_logits = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(
                features=logits, labels=label
            )
            loss = tf.reduce_sum(losses * weight)
            if not training:
                return (loss, correct), None
            # The weights are multiplied into the smaller factor, not into [chunk, vocabulary].
            d_bias = tf.matmul(weight[tf.newaxis, :], d_logits)[0]
            d_logits = tf.cast(d_logits * gradient_scale, dtype)
            weight = tf.cast(weight, dtype)[:, tf.newaxis]
            d_table = tf.cast(tf.matmul(d_logits, x * weight, transpose_a=True), tf.float32)
            return (loss, correct, d_bias, d_table), tf.matmul(d_logits, cast) * weight

        def add_chunk(i, d_hidden, *totals):
            parts, d_x = chunk_sums(i)
            d_hidden = d_hidden.write(i, d_x) if training else d_hidden
            return i + 1, d_hidden, *(a + b for a, b in zip(totals, parts, strict=True))

        d_hidden = tf.TensorArray(dtype, chunks, element_shape=[chunk, width])
        # Chunk 0 is not added to zeros, which would be as large as the table.
        totals, d_x = chunk_sums(0)
        d_hidden = d_hidden.write(0, d_x) if training else d_hidden
        if not isinstance(chunks, int) or chunks > 1:
            _, d_hidden, *totals = tf.while_loop(
                lambda i, *_: i < used,
                add_chunk,
                [tf.constant(1), d_hidden, *totals],
                parallel_iterations=1,
            )
        loss, correct, *gradients = totals

        def gradient(d_loss, _):
            d_bias, d_table = gradients
            d_rows = tf.reshape(d_hidden.stack(), [-1, width])
            # 1 in a training step, whose gradients need not fit float16 without their scale.
            factor = d_loss / gradient_scale
            return d_rows * tf.cast(factor, dtype), d_table * factor, d_bias * d_loss

        return (loss, correct), gradient

    if training:
        return tf.custom_gradient(sums)(hidden, table, bias)
    return sums(hidden, table, bias)[0]
