"""Which strategy a model is trained under."""

from __future__ import annotations

import functools
import os

import tensorflow as tf

from labse_tf.encoder.precision import weights_dtype_of
from labse_tf.inference.model import LaBSE


def choose_strategy(cpu_replicas: int = 1, tpu: str | None = None) -> tf.distribute.Strategy:
    """A strategy for this machine; call it before anything else of TensorFlow.

    With `tpu`, TPUStrategy on the TPU of that name ("local" for those of this machine; "" for
    Colab's, whose address is in the environment). Else, with TF_CONFIG in the environment,
    MultiWorkerMirroredStrategy. Else, with `cpu_replicas` above 1, MirroredStrategy over as many
    logical CPU devices, to try on a CPU what will run on GPUs; the same one at every call. Else
    MirroredStrategy if there are several GPUs, and TensorFlow's default strategy if not.

    Raises:
        ValueError: `cpu_replicas` is below 1; or there is no TPU of that name.
        RuntimeError: TensorFlow is initialised already, with fewer than `cpu_replicas` logical CPU
            devices.
    """
    if cpu_replicas < 1:
        raise ValueError(f"`cpu_replicas` (={cpu_replicas}) must be at least 1.")
    if tpu is not None:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=tpu)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    if os.environ.get("TF_CONFIG"):
        return tf.distribute.MultiWorkerMirroredStrategy()
    if cpu_replicas > 1:
        return _cpu_strategy(cpu_replicas)
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def strategy_of(model: LaBSE) -> tf.distribute.Strategy:
    """The strategy that a model was made in.

    Raises:
        ValueError: the model was loaded to embed only, in bfloat16 or with another backend.
    """
    if model.backend is not None or weights_dtype_of(model.encoder) != "float32":
        raise ValueError(
            "This model was loaded to embed only. Load it without `precision` and `backend` to "
            "train it."
        )
    weight = model.encoder.trainable_weights[0]
    return getattr(weight, "distribute_strategy", tf.distribute.get_strategy())


# One strategy a process: the collective ops of two would have the same keys.
@functools.cache
def _cpu_strategy(replicas: int) -> tf.distribute.Strategy:
    (cpu, *_) = tf.config.list_physical_devices("CPU")
    devices = tf.config.get_logical_device_configuration(cpu) or [None]
    if len(devices) < replicas:
        try:
            tf.config.set_logical_device_configuration(
                cpu, [tf.config.LogicalDeviceConfiguration()] * replicas
            )
        except RuntimeError as error:
            raise RuntimeError(
                f"`cpu_replicas` (={replicas}) needs as many logical CPU devices, but TensorFlow "
                f"is initialised already, with {len(devices)}. Choose the strategy first in a new "
                "process; in a notebook, restart the runtime."
            ) from error
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
