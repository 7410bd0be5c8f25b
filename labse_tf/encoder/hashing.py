"""A hash of int32 numbers in few ops: random numbers that are functions of what they belong to."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

# 2**32 divided by the golden ratio, odd: multiples of it lie far apart.
GOLDEN = int(np.uint32(0x9E3779B9).astype(np.int32))
# Of lowbias32 (https://nullprogram.com/blog/2018/07/31/), by Christopher Wellons.
_FIRST, _SECOND = (int(np.uint32(x).astype(np.int32)) for x in (0x7FEB352D, 0x846CA68B))


def mixed(x: tf.Tensor) -> tf.Tensor:
    """int32 of x's shape: a bijection in which every bit depends on about all bits of x."""
    x = _xor_shift(x * _FIRST, 15)
    return _xor_shift(x * _SECOND, 16)


def _xor_shift(x: tf.Tensor, places: int) -> tf.Tensor:
    # Unsigned: the shift of a negative number would bring in ones, and undo the upper bits.
    shifted = tf.bitwise.right_shift(tf.bitcast(x, tf.uint32), tf.constant(places, tf.uint32))
    return tf.bitwise.bitwise_xor(x, tf.bitcast(shifted, tf.int32))
