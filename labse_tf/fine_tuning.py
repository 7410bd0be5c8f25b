"""fine_tune: pairs in, a trained model in a working directory out; interrupted and resumed."""

from __future__ import annotations

import dataclasses
import math
import os
import sys
import time
from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from labse_tf.dual_encoder import DualEncoder
from labse_tf.model import LaBSE
from labse_tf.optimization import WarmupLinearDecay, adamw
from labse_tf.pairs import read_pairs
from labse_tf.ranking import DEFAULT_MARGIN, DEFAULT_SCALE, AdditiveMarginRankingLoss
from labse_tf.training_state import TrainingState
from labse_tf.weights import weights_dtype_of


def _option(default, help: str):
    return dataclasses.field(default=default, metadata={"help": help})


@dataclasses.dataclass(frozen=True)
class FineTuningConfig:
    """How to train by translation ranking; the program's flags are these fields.

    Raises:
        ValueError: a field is out of its range; the message names field and value.
    """

    steps: int = _option(10_000, "updates, each of a global batch; the paper: 50,000")
    batch_size: int = _option(256, "pairs of a global batch, over all replicas; the paper: 4,096")
    learning_rate: float = _option(5e-5, "highest learning rate; from scratch, the paper: 1e-3")
    warmup_steps: int = _option(100, "steps in which the learning rate rises; then it falls to 0")
    weight_decay: float = _option(0.01, "AdamW's; biases and layer norms are left out")
    clip_norm: float = _option(1.0, "longest gradient, over all weights and replicas; 0: any")
    margin: float = _option(DEFAULT_MARGIN, "subtracted from a pair's cosine; the paper: 0.3")
    scale: float = _option(DEFAULT_SCALE, "inverse temperature of the softmax; Model Garden: 100")
    exponent: float = _option(1.0, "a file of n pairs is drawn from in proportion to n**exponent")
    shuffle_buffer: int = _option(200_000, "pairs held in memory to shuffle among")
    seed: int = _option(0, "of the order of pairs and of dropout")
    checkpoint_every: int = _option(500, "steps between checkpoints")
    keep_checkpoints: int = _option(3, "newest checkpoints that stay")
    report_every: int = _option(50, "steps that the reported figures are the mean of")
    static_width: bool = _option(False, "pad every batch to the full length, as TPUs need")

    def __post_init__(self):
        lowest = dict(
            batch_size=2, checkpoint_every=1, keep_checkpoints=1, report_every=1, shuffle_buffer=1
        )
        for name in ("steps", "warmup_steps", "weight_decay", "clip_norm", "margin", *lowest):
            if not getattr(self, name) >= lowest.get(name, 0):
                raise ValueError(
                    f"`{name}` (={getattr(self, name)}) must be at least {lowest.get(name, 0)}."
                )
        for name in ("learning_rate", "scale"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be above 0.")
        if self.steps and self.warmup_steps >= self.steps:
            raise ValueError(
                f"`warmup_steps` (={self.warmup_steps}) must be below `steps` (={self.steps})."
            )


def fine_tune(
    model: LaBSE,
    pairs: Sequence[str | os.PathLike],
    config: FineTuningConfig,
    workdir: str | os.PathLike,
) -> LaBSE:
    """Trains a model by translation ranking (arXiv 2007.01852, section 2.2), in place.

    Runs under the strategy that the model was made in. Checkpoints go to `workdir`; called again
    with the same settings it continues after the newest, optimizer and data position included,
    and a finished run is only read back. Progress is drawn on stdout.

    Args:
        model: from `labse_tf.load`, or a new one; made inside `strategy.scope()`, if any.
        pairs: files of translation pairs, see `read_pairs`; one a language is sampled best.
        config: how long and how.
        workdir: the run's directory.

    Returns:
        The model.

    Raises:
        FloatingPointError: the loss was not finite; the last good checkpoint stays.
        ValueError, FileNotFoundError: of `read_pairs`; or `workdir` holds another run; or the
            model was loaded to embed only, in bfloat16 or with another backend.

    Example:
        >>> model = labse_tf.load("release")
        >>> labse_tf.fine_tune(model, ["de-en.tsv"], labse_tf.FineTuningConfig(steps=1000), "run")
        >>> model.save("tuned")
    """
    if model.backend is not None or weights_dtype_of(model.encoder) != "float32":
        raise ValueError(
            "This model was loaded to embed only. Load it without `precision` and `backend` to "
            "train it."
        )
    weights = model.encoder.trainable_weights
    strategy = getattr(weights[0], "distribute_strategy", tf.distribute.get_strategy())
    with strategy.scope():
        loss = AdditiveMarginRankingLoss(config.margin, config.scale)
        dual_encoder = DualEncoder(model.encoder, loss, config.seed)
        warmup_steps = config.warmup_steps if config.steps else 0  # 0 steps: only start the run
        rate = WarmupLinearDecay(config.learning_rate, warmup_steps, max(config.steps, 1))
        optimizer = adamw(rate, config.weight_decay, config.clip_norm)
        optimizer.build(weights)
        dual_encoder.compile(optimizer)
        settings = dataclasses.asdict(config) | {
            "pairs": [os.path.abspath(path) for path in pairs],
        }
        state = TrainingState(
            workdir, model, optimizer, settings, config.keep_checkpoints, strategy
        )
        start = state.step

        def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
            return read_pairs(
                pairs,
                model.preprocessor,
                config.batch_size,
                exponent=config.exponent,
                seed=config.seed,
                shuffle_buffer=config.shuffle_buffer,
                static_width=config.static_width,
                skip=start,
                input_context=context,
            )

        # Bad pairs are found here, before anything is written.
        batches = strategy.distribute_datasets_from_function(dataset)
        if state.newest() is None:
            state.save()
        if start >= config.steps:
            return model
        dual_encoder.fit(
            batches,
            steps_per_epoch=config.steps - start,
            verbose=0,
            callbacks=[
                _StopUnlessFinite(state, start),
                _Progress(config, start),
                _Checkpoints(state, config, start),
            ],
        )
    return model


class _StopUnlessFinite(tf_keras.callbacks.Callback):
    """First of the callbacks: nothing is saved after a loss that is no number."""

    def __init__(self, state: TrainingState, start: int):
        super().__init__()
        self._state, self._start = state, start

    def on_train_batch_end(self, batch: int, logs=None):
        if not math.isfinite(logs["loss"]):
            raise FloatingPointError(
                f"The loss of step {self._start + batch + 1} is {logs['loss']}. The last good "
                f"checkpoint is {self._state.newest()}. Lower the learning rate or look at the "
                "pairs of that step, and start again in another directory."
            )


class _Checkpoints(tf_keras.callbacks.Callback):
    """Saves every N steps and after the last."""

    def __init__(self, state: TrainingState, config: FineTuningConfig, start: int):
        super().__init__()
        self._state, self._config, self._start = state, config, start

    def on_train_batch_end(self, batch: int, logs=None):
        step = self._start + batch + 1
        if step % self._config.checkpoint_every == 0 or step == self._config.steps:
            self._state.save()


class _Progress(tf_keras.callbacks.Callback):
    """Keras' progress bar over the whole run on a terminal; elsewhere a line a report.

    The figures are means since the last report. The first step, which traces the graph, is left
    out of pairs per second.
    """

    def __init__(self, config: FineTuningConfig, start: int):
        super().__init__()
        self._config = config
        self._bar = None
        if sys.stdout.isatty():
            self._bar = tf_keras.utils.Progbar(
                config.steps, unit_name="step", stateful_metrics=["loss", "negatives", "pairs/s"]
            )
        self._start = self._timed_from = start
        self._time = math.nan

    def on_train_batch_end(self, batch: int, logs=None):
        step, now = self._start + batch + 1, time.perf_counter()
        last = step == self._config.steps
        report = step % self._config.report_every == 0 or last
        if batch and (report or self._bar):
            rate = (step - self._timed_from) * self._config.batch_size / (now - self._time)
            values = {"loss": logs["loss"], "negatives": logs["negatives"], "pairs/s": rate}
            if self._bar:
                self._bar.update(step, values.items(), finalize=last)
            else:
                figures = (f"{name}: {value:,.4g}" for name, value in values.items())
                sys.stdout.write(" - ".join([f"{step}/{self._config.steps}", *figures]) + "\n")
                sys.stdout.flush()
        if report:
            self.model.reset_metrics()
        if report or not batch:
            self._timed_from, self._time = step, now
