"""A run that trains one weight: it traces at once, and has all else that runs have.

To test loops, callbacks, checkpoints and signals with.
"""

import types

import numpy as np
import tensorflow as tf
import tf_keras

from labse_tf import EncoderConfig, Preprocessor
from labse_tf.optimizers.adamw import AdamW
from labse_tf.optimizers.steps import loss_scale_of, take_step
from labse_tf.training.checkpoints import TrainingState
from labse_tf.training.config import FineTuningConfig
from labse_tf.training.data_files import DataFiles
from labse_tf.training.loop import compile_task, train
from labse_tf.training.preemption import Preemption
from labse_tf.training.run_directory import settings_of

CONFIG = FineTuningConfig(
    steps=12,
    batch_size=8,
    learning_rate=0.01,
    warmup_steps=2,
    checkpoint_every=4,
    report_every=2,
    seed=3,
)
IDS = np.random.default_rng(0).integers(100, size=[20, CONFIG.batch_size]).astype(np.int32)


class Encoder(tf_keras.layers.Layer):
    """What is saved: the weight, and 8 KB beside it, so that a checkpoint has some size."""

    def __init__(self):
        super().__init__(name="encoder")
        self.config = EncoderConfig.small(vocab_size=1)
        self.weight = self.add_weight("weight", initializer="zeros")
        self.ballast = self.add_weight("ballast", [2048], trainable=False)


class Task(tf_keras.Model):
    """Learns the mean id of the batches.

    Args:
        encoder: has the weight.
        figures: from a step, counted from 1, to what is reported of it instead of its own figures.
        overflows: steps whose gradient is infinite.
    """

    def __init__(self, encoder, figures, overflows):
        super().__init__()
        self.encoder, self._figures, self._overflows = encoder, figures, overflows
        self._means = {name: tf_keras.metrics.Mean(name) for name in ("loss", "gradient_norm")}

    @property
    def metrics(self):
        return list(self._means.values())

    def train_step(self, data):
        (side,) = data
        weight = self.encoder.weight
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((weight - tf.cast(side["ids"], tf.float32) / 100) ** 2)
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        scale = loss_scale_of(self.optimizer)
        gradient = tape.gradient(loss, weight, output_gradients=scale) / replicas
        for step in self._overflows:
            gradient = tf.where(self.optimizer.iterations + 1 == step, np.inf, gradient)
        norm, counts = take_step(self.optimizer, [gradient], [weight], 0.0)
        own = {"loss": loss, "gradient_norm": norm}
        for step, others in self._figures.items():
            for name, value in others.items():
                own[name] = tf.where(self.optimizer.iterations == step, value, own[name])
        self._means["loss"].update_state(own["loss"])
        self._means["gradient_norm"].update_state(own["gradient_norm"], sample_weight=counts)
        logs = {name: mean.result() for name, mean in self._means.items()}
        return logs if scale is None else {**logs, "loss_scale": loss_scale_of(self.optimizer)}


def dataset(context, skip):
    """Global batches are the rows of IDS, again and again; each replica has its share."""
    replicas = context.num_replicas_in_sync
    shares = IDS.reshape(-1, IDS.shape[1] // replicas)
    elements = tf.data.Dataset.from_tensor_slices(({"ids": shares},)).repeat()
    elements = elements.skip(skip * replicas)
    return elements.shard(context.num_input_pipelines, context.input_pipeline_id)


def make_model(vocab_file):
    """What a TrainingState takes for a LaBSE."""
    preprocessor = Preprocessor(vocab_file, 8)
    return types.SimpleNamespace(
        encoder=Encoder(), preprocessor=preprocessor, stored_dtype="float32"
    )


def run(workdir, vocab_file, config=CONFIG, figures=None, callback=None, pairs=(), overflows=()):
    """Trains a new weight in the current strategy; returns it.

    `callback` is the class of one, made of state, configuration, stage and preemption. `pairs` are
    files that it is said to read.
    """
    settings = settings_of(config, pairs=pairs)
    files = DataFiles(settings, "pairs")
    model = make_model(vocab_file)
    encoder = model.encoder
    with Preemption(tf.distribute.get_strategy()) as preemption:
        for stage in config.parsed_stages:
            optimizer = AdamW(
                config.schedule(stage),
                config.weight_decay,
                config.ema_decay,
                loss_scaling=config.precision == "float16",
            )
            optimizer.build(encoder.trainable_weights)
            task = Task(encoder, figures or {}, overflows)
            compile_task(task, optimizer, config)
            directory = stage.directory(workdir)
            state = TrainingState(directory, model, optimizer, settings, config.keep_checkpoints)
            train(
                task,
                config,
                stage,
                state,
                dataset,
                unit="rows",
                preemption=preemption,
                files=files,
                callbacks=[callback(state, config, stage, preemption)] if callback else [],
            )
    return float(encoder.weight.numpy())
