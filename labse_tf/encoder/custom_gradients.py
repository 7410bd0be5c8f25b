"""Ops of the encoder with custom gradients, for training steps on CPU.

Beside the matmuls, a step is bound by its passes over memory. The gradients that TensorFlow derives
op by op take up to twice as many as their formulas need, and slow ones in bfloat16. Milliseconds
forward and backward of 2,560 tokens on two cores, these after TensorFlow's: GELU of 1,536 numbers
a token in float32 12 after 16, in bfloat16 15 after 33; normalisation of 384 3.6 after 4.7, 3.9
after 4.9; dropout of 384 2.0 after 3.5, 2.3 after 5.9. The gathers of `labse_tf.encoder.unpadding`
have custom gradients too. Exported functions use TensorFlow's own ops, which every reader of a
SavedModel can differentiate.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import tensorflow as tf

from labse_tf.encoder.hashing import GOLDEN, mixed

_ROOT_HALF = math.sqrt(0.5)
_DENSITY = 1 / math.sqrt(2 * math.pi)  # of the standard normal distribution, at 0


@tf.custom_gradient
def dense(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor):
    """Return x @ kernel + bias, [tokens, outputs], in bfloat16.

    TensorFlow's graph optimizer would fuse the two into oneDNN's inner product, which takes three
    times as long as its matmul does on a CPU with AMX (5,568 tokens, 384 to 1,536, two cores: 18.9
    and 5.7 ms). XLA's addition of the bias is not fused. The gradient of the bias is a matmul with
    ones, since `BiasAddGrad` is slow.
    """

    def gradient(dy: tf.Tensor):
        ones = tf.ones([1, tf.shape(dy)[0]], dy.dtype)
        return (
            tf.matmul(dy, kernel, transpose_b=True),
            tf.matmul(x, dy, transpose_a=True),
            tf.matmul(ones, dy)[0],
        )

    return _compiled(_add_bias, tf.matmul(x, kernel), bias), gradient


@tf.custom_gradient
def gelu(x: tf.Tensor):
    """Return x * Phi(x), with Phi the standard normal distribution function; in float32.

    In bfloat16 XLA fuses all passes over memory into one, forward and backward. It compiles once
    for each number of tokens (0.1 s), which is a multiple of 64 in training.
    """
    if x.dtype == tf.bfloat16:
        return _compiled(_gelu, x), lambda dy: _compiled(_gelu_gradient, x, dy)
    share = _normal_distribution(tf.cast(x, tf.float32))

    def gradient(dy: tf.Tensor) -> tf.Tensor:
        return _gelu_gradient(x, dy, share)

    return tf.cast(tf.cast(x, tf.float32) * share, x.dtype), gradient


def _add_bias(x: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    return x + bias


def _gelu(x: tf.Tensor) -> tf.Tensor:
    as_float = tf.cast(x, tf.float32)
    return tf.cast(as_float * _normal_distribution(as_float), x.dtype)


def _gelu_gradient(x: tf.Tensor, dy: tf.Tensor, share: tf.Tensor | None = None) -> tf.Tensor:
    as_float = tf.cast(x, tf.float32)
    slope = _normal_distribution(as_float) if share is None else share
    slope += as_float * (_DENSITY * tf.exp(-0.5 * tf.square(as_float)))
    return tf.cast(tf.cast(dy, tf.float32) * slope, x.dtype)


def _normal_distribution(x: tf.Tensor) -> tf.Tensor:
    return 0.5 * tf.math.erf(x * _ROOT_HALF) + 0.5


def _compiled(function: Callable[..., tf.Tensor], *tensors: tf.Tensor) -> tf.Tensor:
    """Call a function compiled by XLA, traced for exactly the static shapes of its arguments.

    Without the shapes in the key, TensorFlow would use an earlier trace of unknown shapes for known
    ones, and what a TPU compiles must have static shapes.
    """
    shapes = tuple(tuple(x.shape.as_list()) for x in tensors)
    return _compiled_for(function, shapes)(*tensors)


@functools.cache
def _compiled_for(function: Callable[..., tf.Tensor], shapes: tuple) -> Callable[..., tf.Tensor]:
    return tf.function(function, jit_compile=True, autograph=False)


@tf.custom_gradient
def normalise(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, epsilon: float):
    """Layer normalisation of [tokens, hidden], computed in float32, returned in x's dtype."""
    dtype, hidden = x.dtype, x.shape[1]
    x = tf.cast(x, tf.float32)
    centred = x - tf.reduce_mean(x, axis=1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centred), axis=1, keepdims=True)
    rate = tf.math.rsqrt(variance + epsilon)
    normal = centred * rate

    def gradient(dy: tf.Tensor):
        # With g = dy * scale: dx = rate * (g - mean(g) - normal * mean(g * normal)). The means
        # over hidden are matmuls with a column.
        dy = tf.cast(dy, tf.float32)
        by_normal = dy * normal
        column = tf.reshape(scale, [-1, 1]) / hidden
        mean, slope = tf.matmul(dy, column), tf.matmul(by_normal, column)
        dx = tf.cast((dy * scale - mean - normal * slope) * rate, dtype)
        bias = tf.raw_ops.BiasAddGrad
        return dx, bias(out_backprop=by_normal), bias(out_backprop=dy), None

    return tf.cast(tf.nn.bias_add(normal * scale, offset), dtype), gradient


@tf.custom_gradient
def rows_of_few(table: tf.Tensor, indices: tf.Tensor):
    """Rows of a small table, float32 [rows, hidden], by int32 [n]: the gradient is a matmul.

    TensorFlow's own gradient of a gather adds row by row. Looked up by a matmul too, rows would be
    rounded to 11 bits where a GPU computes in TensorFloat-32.
    """

    def gradient(dy: tf.Tensor):
        one_hots = tf.one_hot(indices, tf.shape(table)[0], dtype=dy.dtype)
        return tf.matmul(one_hots, dy, transpose_a=True), None

    return tf.gather(table, indices), gradient


def dropout(x: tf.Tensor, rate: float, keys: tf.Tensor) -> tf.Tensor:
    """Dropout with one random byte per element: the rate is rounded to a multiple of 1/256.

    Kept elements are divided by one minus the rounded rate. What is dropped of a vector is a
    function of its key, and of an element's place in the vector.

    Args:
        x: [..., units].
        rate: share that is dropped.
        keys: int32, x's shape without units; random, so that near ones are no neighbours.
    """
    dropped = min(max(round(256 * rate), 1), 255)
    units = tf.shape(x)[-1] if x.shape[-1] is None else x.shape[-1]
    words = mixed(keys[..., tf.newaxis] + tf.range((units + 3) // 4) * GOLDEN)
    random = tf.bitcast(words, tf.uint8)
    if isinstance(units, int) and units % 4 == 0:
        random = tf.reshape(random, tf.shape(x))
    else:
        random = tf.reshape(random, tf.concat([tf.shape(x)[:-1], [-1]], axis=0))[..., :units]
    kept = random >= tf.constant(dropped, tf.uint8)
    return _times(x, tf.cast(kept, x.dtype) * tf.constant(256 / (256 - dropped), x.dtype))


@tf.custom_gradient
def _times(x: tf.Tensor, factor: tf.Tensor):
    """x * factor of the same shape, a constant: spares the gradient's ops for broadcasting."""
    return x * factor, lambda dy: (dy * factor, None)
