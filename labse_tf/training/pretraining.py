"""pretrain: text and pairs in, a pre-trained encoder in a working directory out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from labse_tf.data.masked_text import read_masked
from labse_tf.data.masking import Masking
from labse_tf.encoder.masked_language_head import MaskedLanguageHead
from labse_tf.encoder.precision import POLICIES, computing_in
from labse_tf.encoder.stacking import stack
from labse_tf.files.locks import lock_directory
from labse_tf.inference.model import LaBSE
from labse_tf.optimizers.adamw import AdamW
from labse_tf.training.callbacks import check_callbacks
from labse_tf.training.checkpoints import TrainingState
from labse_tf.training.config import MEGABYTE, PretrainingConfig
from labse_tf.training.data_files import DataFiles
from labse_tf.training.held_out_text import HeldOutText, MaskedEvaluation
from labse_tf.training.loop import Dataset, compile_task, train
from labse_tf.training.nothing_to_learn import StopWithoutMasks
from labse_tf.training.output import BAR, Output
from labse_tf.training.preemption import Preemption
from labse_tf.training.pretrainer import Pretrainer
from labse_tf.training.run_directory import Files, check_stages, listed, settings_of
from labse_tf.training.stages import Stage
from labse_tf.training.strategy import strategy_of


def pretrain(
    model: LaBSE,
    text: Files,
    pairs: Files,
    config: PretrainingConfig,
    workdir: str | os.PathLike,
    *,
    held_out: Files = (),
    callbacks: Sequence[tf_keras.callbacks.Callback] = (),
    verbose: int = BAR,
) -> LaBSE:
    """Trains a model by masked and translation language modelling (arXiv 2007.01852, section 2.3).

    Runs under the strategy that the model was made in. With `stages` the encoder is stacked: each
    stage is a run in a directory of its own, which begins with copies of the last one's layers,
    with its head, a new optimizer and another warm-up. Called again with the same settings it
    continues after the newest checkpoint of the newest stage. The checkpoints hold the head as
    well; `python -m export.saved_model` exports the encoder.

    Args:
        model: usually a new one, as deep as the first stage or a divisor of it; made inside
            `strategy.scope()`, if any. Its pooler is not trained.
        text: files for masked language modelling, see `read_masked`; translation pairs will do.
        pairs: files for translation language modelling.
        config: how long and how.
        workdir: The run's directory. Several workers (`TF_CONFIG`) need one that all share.
        held_out: files to measure masked accuracy and perplexity on, language by language.
        callbacks, verbose: see `labse_tf.fine_tune`.

    Returns:
        The model; with `stages`, the deepest one instead.

    Raises:
        FloatingPointError, RuntimeError, TypeError: as of `labse_tf.fine_tune`.
        OSError: something could not be written, as on a full disk; the last checkpoint is kept. Or
            another process trains in `workdir`.
        labse_tf.training.preemption.Preempted: the process got SIGTERM; what was trained is saved.
        ValueError, FileNotFoundError: of `read_masked` and `stack`; or `workdir` holds another
            run; or the model was loaded to embed only, in bfloat16 or with another backend; or
            a file was changed meanwhile; or nothing could be masked in many steps, see
            `labse_tf.training.nothing_to_learn`.

    Example:
        >>> files = ["deu-eng.tsv.gz", "jpn-eng.tsv.gz"]
        >>> config = PretrainingConfig(steps=10_000, stages="3:25%,6:25%,12:50%")
        >>> model = pretrain(model_of_3_layers, files, files, config, "run")
        >>> model.save("pretrained")
    """
    strategy, output = strategy_of(model), Output(verbose)
    check_callbacks(callbacks)
    text, pairs, held_out = listed(text), listed(pairs), listed(held_out)
    check_stages(workdir, bool(config.stages))
    masking = Masking(
        model.preprocessor, config.mask_rate, config.max_predictions or None, config.whole_words
    )
    settings = settings_of(config, text=text, pairs=pairs, held_out=held_out)
    files = DataFiles(settings, "text", "pairs")
    preprocessor, figures = model.preprocessor, {}

    def dataset(context: tf.distribute.InputContext, skip: int) -> tf.data.Dataset:
        batches = read_masked(
            text,
            pairs,
            preprocessor,
            masking,
            config.batch_size,
            tlm_share=config.tlm_share,
            exponent=config.exponent,
            seed=config.seed,
            shuffle_buffer=config.shuffle_buffer,
            static_width=config.static_width,
            skip=skip,
            figures=figures,
            input_context=context,
        )
        return batches.map(lambda batch: (batch,))

    is_chief = strategy.extended.should_checkpoint
    lock = lock_directory(workdir, "trains") if is_chief else contextlib.nullcontext()
    with lock, Preemption(strategy) as preemption, strategy.scope():
        evaluation = MaskedEvaluation(held_out, preprocessor, masking) if held_out else None
        head = MaskedLanguageHead(model.encoder.config, POLICIES[config.precision], config.seed)
        for stage in config.parsed_stages:
            if stage.num_layers not in (None, model.encoder.config.num_layers):
                model = model.with_parts(encoder=stack(model.encoder, stage.num_layers))
            _run_stage(
                model,
                head,
                config,
                stage,
                workdir,
                settings,
                dataset,
                files,
                figures,
                evaluation,
                preemption,
                callbacks,
                output,
            )
    return model


def _run_stage(
    model: LaBSE,
    head: MaskedLanguageHead,
    config: PretrainingConfig,
    stage: Stage,
    workdir: str | os.PathLike,
    settings: dict,
    dataset: Dataset,
    files: DataFiles,
    figures: dict[str, float],
    evaluation: MaskedEvaluation | None,
    preemption: Preemption,
    callbacks: Sequence[tf_keras.callbacks.Callback],
    output: Output,
) -> None:
    task = Pretrainer(
        computing_in(model.encoder, config.precision),
        head,
        config.seed,
        clip_norm=config.clip_norm,
        chunk_bytes=config.logits_mb * MEGABYTE,
    )
    optimizer = AdamW(
        config.schedule(stage), config.weight_decay, loss_scaling=config.precision == "float16"
    )
    optimizer.build(task.trained_weights)
    compile_task(task, optimizer, config)
    state = TrainingState(
        stage.directory(workdir),
        model,
        optimizer,
        settings,
        config.keep_checkpoints,
        parts={"head": head},
        output=output,
    )
    own = [StopWithoutMasks(model.preprocessor, stage, state.step, dataset)]
    if evaluation:
        own.append(HeldOutText(evaluation, state, config, stage, preemption))
    train(
        task,
        config,
        stage,
        state,
        dataset,
        unit="sequences",
        preemption=preemption,
        files=files,
        figures=figures,
        callbacks=[*own, *callbacks],
    )
