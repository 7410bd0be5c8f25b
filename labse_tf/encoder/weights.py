"""Large weights without second copies: encoders without initial values, rows read and written.

82% of LaBSE's weights are one table of 1.5 GB. A second copy of it, however short-lived (random
initial values beside a restored tensor, a NumPy array), nearly doubles the memory of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from labse_tf.encoder.config import EncoderConfig
from labse_tf.encoder.encoder import Encoder

CHUNK_BYTES = 16 * 2**20
_ALIGNMENT = 64  # bytes, of TensorFlow's tensors


def unfilled_encoder(
    config: EncoderConfig, weights_dtype: str = "float32", dtype: str = "float32"
) -> Encoder:
    """An encoder whose weights are not initialised and take up no memory before they are assigned.

    The caller must assign every weight. Unlike `Encoder`'s own default, that of `dtype` does not
    depend on Keras' global policy.
    """
    with unfilled_variables():
        return Encoder(config, weights_dtype, dtype)


def unfilled_variables():
    """A context in which variables are created uninitialised: no random numbers, no memory."""

    def create(next_creator, **options):
        shape, dtype = options.get("shape"), options.get("dtype")
        if shape is not None:  # None for the states of random generators
            options["initial_value"] = lambda: _empty(list(shape), dtype)
        return next_creator(**options)

    return tf.variable_creator_scope(create)


def _empty(shape: list[int], dtype: tf.DType) -> tf.Tensor:
    try:
        return tf.raw_ops.Empty(shape=shape, dtype=dtype, init=False)
    except tf.errors.InvalidArgumentError:
        # By tf.debugging.enable_check_numerics, if there happens to be a NaN.
        return tf.zeros(shape, dtype)


def named_weights(encoder: Encoder) -> dict[str, tf.Variable]:
    """An encoder's weights. Their order is not the same in all: Keras lists frozen layers last."""
    return {weight.name.removesuffix(":0"): weight for weight in encoder.weights}


def assign(variable: tf.Variable, fill: Callable[[np.ndarray], None]) -> None:
    """Assigns to a variable the values that `fill` writes into an array of its shape and dtype.

    The array's memory becomes the variable's, so `fill` must not keep the array. The alternatives
    copy: converting an array to a tensor does, and after an assignment to slices
    (`variable[a:b].assign`) TensorFlow copies the variable at every read.
    """
    dtype = variable.dtype.as_numpy_dtype
    size = np.dtype(dtype).itemsize * int(np.prod(variable.shape, dtype=np.int64))
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    array = memory[start : start + size].view(dtype).reshape(variable.shape)
    fill(array)
    variable.assign(tf.experimental.dlpack.from_dlpack(array.__dlpack__()))


def chunks_of(shape: list[int] | tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """(start, end) along the first axis, in chunks of about CHUNK_BYTES of float32."""
    row_bytes = 4 * int(np.prod(shape[1:], dtype=np.int64))
    step = max(1, CHUNK_BYTES // max(1, row_bytes))
    for start in range(0, shape[0], step):
        yield start, min(shape[0], start + step)


def rows_of(variable: tf.Variable) -> Iterator[np.ndarray]:
    """The values of a variable in chunks of rows; `variable.numpy()` would copy all at once."""
    # Not tf.gather(variable): TensorFlow copies a variable that was gathered from at every read.
    values = variable.value()
    for start, end in chunks_of(variable.shape):
        yield values[start:end].numpy()
