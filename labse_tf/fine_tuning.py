"""fine_tune: pairs in, a trained model in a working directory out; interrupted and resumed."""

from __future__ import annotations

import dataclasses
import os

import tensorflow as tf

from labse_tf.adamw import AdamW
from labse_tf.dual_encoder import DualEncoder
from labse_tf.freezing import weights_to_train
from labse_tf.growing import grow
from labse_tf.held_out import HeldOut
from labse_tf.model import LaBSE
from labse_tf.pairs import read_pairs
from labse_tf.ranking import DEFAULT_MARGIN, DEFAULT_SCALE, AdditiveMarginRankingLoss
from labse_tf.stages import Stage
from labse_tf.training_config import TrainingConfig, option
from labse_tf.training_loop import train
from labse_tf.training_run import check_stages
from labse_tf.training_setup import Files, rate_of, settings_of, state_of, strategy_of
from labse_tf.weights import computing_in


@dataclasses.dataclass(frozen=True)
class FineTuningConfig(TrainingConfig):
    """How to train by translation ranking; the program's flags are these fields.

    Raises:
        ValueError: a field is out of its range; the message names field and value.
    """

    steps: int = option(10_000, "updates, each of a global batch", paper="50,000")
    batch_size: int = option(256, "pairs of a global batch, over all replicas", paper="4,096")
    learning_rate: float = option(
        5e-5, "highest learning rate of AdamW", paper="1e-3", model_garden="1e-4"
    )
    margin: float = option(DEFAULT_MARGIN, "subtracted from a pair's cosine", paper=0.3)
    scale: float = option(
        DEFAULT_SCALE, "of the cosines, the softmax' inverse temperature", model_garden=100
    )
    hard_negatives: int = option(
        0, "columns behind the target with sentences that are no translations of the source"
    )
    chunk_size: int = option(
        0, "pairs of a replica in memory at a time, by gradient caching; 0: the whole batch"
    )
    freeze_embeddings: bool = option(False, "keep the tables of words, positions and types")
    freeze_layers: int = option(0, "keep so many of the lowest transformer layers")
    evaluate_every: int = option(500, "steps between measurements of the held-out pairs")
    patience: int = option(
        0, "measurements without a better one after which the run ends, with the best; 0: never"
    )

    def __post_init__(self):
        super().__post_init__()
        self._check_least(
            ("margin", "hard_negatives", "chunk_size", "freeze_layers", "patience"), 0
        )
        self._check_least(("evaluate_every",), 1)
        self._check_above_0("scale")


def fine_tune(
    model: LaBSE,
    pairs: Files,
    config: FineTuningConfig,
    workdir: str | os.PathLike,
    *,
    held_out: Files = (),
    loss: type[AdditiveMarginRankingLoss] = AdditiveMarginRankingLoss,
) -> LaBSE:
    """Trains a model by translation ranking (arXiv 2007.01852, section 2.2), in place.

    Runs under the strategy that the model was made in. Checkpoints go to `workdir`; called again
    with the same settings it continues after the newest, optimizer and data position included,
    and a finished run is only read back. Progress is drawn on stdout, and goes to
    `workdir`/logs for TensorBoard.

    Args:
        model: from `labse_tf.load`, or a new one; made inside `strategy.scope()`, if any.
        pairs: files of translation pairs, see `read_pairs`; one a language is sampled best.
        config: how long and how.
        workdir: the run's directory.
        held_out: files of pairs on which the accuracy of retrieval is measured, P@1.
        loss: what ranks the pairs, made with the margin and the scale of `config`.

    Returns:
        The model; with `stages`, the grown one in its stead. It has the moving averages of the
        weights, if there are any, and with `patience` the weights that did best.

    Raises:
        FloatingPointError: the loss or a gradient was not finite; the last good checkpoint stays.
        OSError: a checkpoint could not be written, as on a full disk; the last good one stays.
        labse_tf.preemption.Preempted: SIGTERM came, and the run was saved to go on later.
        ValueError, FileNotFoundError: of `read_pairs`; or `workdir` holds another run; or the
            model was loaded to embed only, in bfloat16 or with another backend.

    Example:
        >>> model = labse_tf.load("release")
        >>> labse_tf.fine_tune(model, ["de-en.tsv"], labse_tf.FineTuningConfig(steps=1000), "run")
        >>> model.save("tuned")
    """
    strategy = strategy_of(model)
    if config.patience and not held_out:
        raise ValueError("`patience` is about held-out pairs, but there are no `held_out` files.")
    check_stages(workdir, bool(config.stages))
    with strategy.scope():
        for stage in config.parsed_stages:
            if stage.num_layers is not None:
                model = LaBSE(
                    model.preprocessor, grow(model.encoder, stage.num_layers, config.seed)
                )
            _run_stage(model, pairs, config, stage, workdir, held_out, loss)
    return model


def _run_stage(
    model: LaBSE,
    pairs: Files,
    config: FineTuningConfig,
    stage: Stage,
    workdir: str | os.PathLike,
    held_out: Files,
    loss: type[AdditiveMarginRankingLoss],
) -> None:
    weights = weights_to_train(model.encoder, config.freeze_embeddings, config.freeze_layers)
    static = config.static_width
    names = [weight.name.removesuffix(":0") for weight in weights]
    word = model.encoder.embeddings.word.name.removesuffix(":0")
    optimizer = AdamW(
        rate_of(config, stage),
        config.weight_decay,
        config.ema_decay,
        tables=[word] if config.row_sparse and not static and word in names else [],
    )
    optimizer.build(weights)
    dual_encoder = DualEncoder(
        computing_in(model.encoder, config.precision),
        loss(config.margin, config.scale),
        config.seed,
        variables=weights,
        clip_norm=config.clip_norm,
        chunk_size=config.chunk_size,
        static=static,
    )
    dual_encoder.compile(optimizer)
    settings = settings_of(config, pairs=pairs, held_out=held_out)
    if loss is not AdditiveMarginRankingLoss:
        settings["loss"] = loss.__name__
    state = state_of(model, optimizer, config, stage, workdir, settings)

    def dataset(context: tf.distribute.InputContext, skip: int) -> tf.data.Dataset:
        return read_pairs(
            pairs,
            model.preprocessor,
            config.batch_size,
            exponent=config.exponent,
            seed=config.seed,
            shuffle_buffer=config.shuffle_buffer,
            hard_negatives=config.hard_negatives,
            static_width=static,
            skip=skip,
            input_context=context,
        )

    callbacks = []
    if held_out:
        callbacks.append(HeldOut(model, held_out, state, config, stage))
    train(dual_encoder, config, stage, state, dataset, unit="pairs", callbacks=callbacks)
    if state.finished:
        averages = optimizer.averages
        for name, weight in zip(names, weights, strict=True):
            if averages:
                weight.assign(averages[name])
        if config.patience:
            state.read_best()
