"""Which strategy a training program runs under."""

from __future__ import annotations

import os

import tensorflow as tf


def choose_strategy(cpu_replicas: int = 1, tpu: str | None = None) -> tf.distribute.Strategy:
    """A strategy for this machine; call it before anything else of TensorFlow.

    With `tpu`, TPUStrategy on the TPU of that name ("local" for those of this machine; "" for
    Colab's, whose address is in the environment). Else, with TF_CONFIG in the environment,
    MultiWorkerMirroredStrategy; else, with `cpu_replicas` above
    1, MirroredStrategy over as many logical CPU devices (the same program as on GPUs, to try and
    to test it); else MirroredStrategy if there are several GPUs, and none if not.

    Raises:
        ValueError: `cpu_replicas` is below 1; or there is no TPU of that name.
        RuntimeError: TensorFlow is initialised already, so that the CPU cannot be divided.
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
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * cpu_replicas,
        )
        return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(cpu_replicas)])
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()
