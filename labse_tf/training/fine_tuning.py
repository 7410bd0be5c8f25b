"""fine_tune: pairs in, a trained model in a working directory out; interrupted and resumed."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras

from labse_tf.data.pair_rows import PairRows, Pairs, as_rows
from labse_tf.data.ranking_pairs import read_pairs
from labse_tf.encoder.freezing import weights_to_train
from labse_tf.encoder.growing import grow
from labse_tf.encoder.precision import computing_in
from labse_tf.files.locks import lock_directory
from labse_tf.inference.model import LaBSE
from labse_tf.losses.ranking import AdditiveMarginRankingLoss
from labse_tf.optimizers.adamw import AdamW
from labse_tf.training.callbacks import check_callbacks
from labse_tf.training.checkpoints import TrainingState
from labse_tf.training.config import FineTuningConfig
from labse_tf.training.data_files import DataFiles
from labse_tf.training.dual_encoder import DualEncoder
from labse_tf.training.held_out_pairs import HeldOutPairs
from labse_tf.training.loop import compile_task, train
from labse_tf.training.nothing_to_learn import StopWithoutNegatives
from labse_tf.training.output import BAR, Output
from labse_tf.training.preemption import Preemption
from labse_tf.training.run_directory import Files, check_stages, listed, settings_of
from labse_tf.training.stages import Stage
from labse_tf.training.strategy import strategy_of

Loss = AdditiveMarginRankingLoss | type[AdditiveMarginRankingLoss]


def fine_tune(
    model: LaBSE,
    pairs: Files | Pairs,
    config: FineTuningConfig,
    workdir: str | os.PathLike,
    *,
    held_out: Files | Pairs = (),
    loss: Loss = AdditiveMarginRankingLoss,
    callbacks: Sequence[tf_keras.callbacks.Callback] = (),
    verbose: int = BAR,
) -> LaBSE:
    """Trains a model by translation ranking (arXiv 2007.01852, section 2.2), in place.

    Runs under the strategy that the model was made in. Checkpoints go to `workdir`; called again
    with the same settings (those that change no weight may differ, see
    `labse_tf.training.comparing`) it continues after the newest, optimizer and data position
    included, and a finished run is only read back. Progress goes to stdout, and to `workdir`/logs
    for TensorBoard.

    Args:
        model: from `labse_tf.load`, or a new one; made inside `strategy.scope()`, if any.
        pairs: files of translation pairs, see `read_pairs`; one a language is sampled best. Or a
            list (any sequence) of (source, target) strings, with the hard negatives after the
            target, if there are any: the run is that of one plain TSV file of these rows, to the
            bit, and goes on with either. Or a tf.data.Dataset of such tuples of string scalars, in
            one order and with an end: it is read twice before the training, to check and count
            it, and then anew for every epoch, each shuffled as a file's would be. What is resumed
            is as exact as for files if it gives the same pairs in the same order then; a checksum
            of them is kept, and another one refused. A change while it trains is noticed only if
            the number of pairs changes.
        config: how long and how.
        workdir: The run's directory. Several workers (`TF_CONFIG`) need one that all share.
        held_out: pairs to measure the accuracy of retrieval (P@1) on: files, or as `pairs`.
        loss: class of the loss, made with the margin, the scale, `bidirectional` and
            `mask_duplicates` of `config`; or a loss, which has its own.
        callbacks: of tf_keras; run after a step was checked, reported and measured, and before it
            is saved. A stage is one epoch of `fit`, so it is their methods for batches that count.
            One that sets `model.stop_training` ends the stage there, as a finished one; what one
            raises ends the run, and the last checkpoint is kept.
        verbose: 0: nothing on stdout; 1: a progress bar on a terminal or in a notebook, elsewhere a
            line a report; 2: the lines.

    Returns:
        The model; with `stages`, the grown one instead. With `ema_decay`, its weights are their
        moving averages. With `patience`, they are those that were best on `held_out`, in whichever
        stage; those of an earlier stage are grown to the depth of the last one.

    Raises:
        FloatingPointError: the loss or a gradient was not finite (in float16, the gradient with a
            loss scale of 1); the last checkpoint is kept.
        OSError: something could not be written, as on a full disk; the last checkpoint is kept. Or
            another process trains in `workdir`.
        RuntimeError: a callback raised StopIteration, or TensorFlow's OutOfRangeError.
        TypeError: a callback is none of tf_keras.
        labse_tf.training.preemption.Preempted: the process got SIGTERM; what was trained is saved.
        ValueError, FileNotFoundError: of `read_pairs`; or `workdir` holds another run; or the
            model was loaded to embed only, in bfloat16 or with another backend; or `config` and
            `loss` disagree; or a file of `pairs` was changed meanwhile; or no pair of many steps
            had a negative, see `labse_tf.training.nothing_to_learn`.

    Example:
        >>> model = labse_tf.load("release")
        >>> labse_tf.fine_tune(model, ["de-en.tsv"], labse_tf.FineTuningConfig(steps=1000), "run")
        >>> model.save("tuned")
    """
    strategy, output, ranking_loss = strategy_of(model), Output(verbose), make_loss(loss, config)
    check_callbacks(callbacks)
    pairs = as_rows(pairs, config.hard_negatives) or listed(pairs)
    held_out = as_rows(held_out) or listed(held_out)
    if config.patience and not held_out:
        raise ValueError("`patience` is about held-out pairs, but there are no `held_out` files.")
    settings = settings_of(config, pairs=pairs, held_out=held_out) | ranking_loss.get_config()
    if type(ranking_loss) is not AdditiveMarginRankingLoss:
        settings["loss"] = type(ranking_loss).__name__
    files = DataFiles(settings, *([] if isinstance(pairs, PairRows) else ["pairs"]))
    check_stages(workdir, bool(config.stages))
    is_chief = strategy.extended.should_checkpoint
    lock = lock_directory(workdir, "trains") if is_chief else contextlib.nullcontext()
    with lock, Preemption(strategy) as preemption, strategy.scope():
        best = -1.0
        for stage in config.parsed_stages:
            if stage.num_layers is not None:
                encoder = grow(model.encoder, stage.num_layers, config.seed)
                model = model.with_parts(encoder=encoder)
            run = _Run(
                pairs, held_out, ranking_loss, settings, files, preemption, callbacks, output
            )
            best = _run_stage(model, config, stage, workdir, run, best)
    return model


class _Run(NamedTuple):
    """What the stages of a run have in common, but for its configuration."""

    pairs: list[str] | PairRows
    held_out: list[str] | PairRows
    ranking_loss: AdditiveMarginRankingLoss
    settings: dict[str, Any]
    files: DataFiles
    preemption: Preemption
    callbacks: Sequence[tf_keras.callbacks.Callback]
    output: Output


def make_loss(loss: Loss, config: FineTuningConfig) -> AdditiveMarginRankingLoss:
    """The loss of a run.

    Args:
        loss: a class, or a loss.
        config: has the arguments of a class; those that differ from the defaults bind a loss too.

    Raises:
        ValueError: the loss has another argument than `config`.
    """
    names = ("margin", "scale", "bidirectional", "mask_duplicates")
    options = {name: getattr(config, name) for name in names}
    if isinstance(loss, type):
        return loss(**options)
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    for name, value in options.items():
        if value not in (defaults[name], getattr(loss, name)):
            raise ValueError(
                f"`{name}` of the configuration (={value}) is not that of the loss "
                f"(={getattr(loss, name)}). Give it once."
            )
    return loss


def _run_stage(
    model: LaBSE,
    config: FineTuningConfig,
    stage: Stage,
    workdir: str | os.PathLike,
    run: _Run,
    best_before: float,
) -> float:
    """Train a stage, and return the best figure on held-out pairs that its result is known to have.

    Args:
        best_before: Figure of the model that the stage starts with; -1: it was not measured.
    """
    weights = weights_to_train(model.encoder, config.freeze_embeddings, config.freeze_layers)
    static = config.static_width
    names = [weight.name.removesuffix(":0") for weight in weights]
    word = model.encoder.embeddings.word.name.removesuffix(":0")
    optimizer = AdamW(
        config.schedule(stage),
        config.weight_decay,
        config.ema_decay,
        tables=[word] if config.updates_rows and word in names else [],
        table_rate_factor=config.embedding_rate_factor,
        loss_scaling=config.precision == "float16",
    )
    optimizer.build(weights)
    dual_encoder = DualEncoder(
        computing_in(model.encoder, config.precision),
        run.ranking_loss,
        config.seed,
        variables=weights,
        clip_norm=config.clip_norm,
        chunk_size=config.chunk_size,
        static=static,
    )
    compile_task(dual_encoder, optimizer, config)
    state = TrainingState(
        stage.directory(workdir),
        model,
        optimizer,
        run.settings,
        config.keep_checkpoints,
        output=run.output,
    )

    figures: dict[str, float] = {}

    def dataset(context: tf.distribute.InputContext, skip: int) -> tf.data.Dataset:
        return read_pairs(
            run.pairs,
            model.preprocessor,
            config.batch_size,
            exponent=config.exponent,
            seed=config.seed,
            shuffle_buffer=config.shuffle_buffer,
            hard_negatives=config.hard_negatives,
            static_width=static,
            skip=skip,
            figures=figures,
            input_context=context,
        )

    callbacks = [StopWithoutNegatives(model.preprocessor, stage, state.step, dataset)]
    if run.held_out:
        held_out = HeldOutPairs(
            model, run.held_out, state, config, stage, run.preemption, best_before
        )
        callbacks.append(held_out)
    if best_before >= 0 and state.restored is None:
        state.save_best()
    train(
        dual_encoder,
        config,
        stage,
        state,
        dataset,
        unit="pairs",
        preemption=run.preemption,
        files=run.files,
        figures=figures,
        callbacks=[*callbacks, *run.callbacks],
    )
    if state.finished:
        averages = optimizer.averages
        for name, weight in zip(names, weights, strict=True):
            if averages:
                weight.assign(averages[name])
        if config.patience:
            state.read_best()
            return max(best_before, float(state.best.numpy()))
    return -1.0
