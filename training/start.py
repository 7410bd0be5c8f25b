"""How the training programs begin: their flags, their strategy, the model that they train."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import tf_keras

import labse_tf
from labse_tf.commands.flags import add_flags, from_flags
from labse_tf.training.config import TrainingConfig
from labse_tf.training.strategy import choose_strategy

Deepen = Callable[[labse_tf.Encoder, int], labse_tf.Encoder]


def add_start(parser: argparse.ArgumentParser, config: type[TrainingConfig], init: str) -> None:
    """Adds the flags of a run: its directory, its model, its devices, how it is trained.

    Args:
        parser: is added to.
        config: the dataclass of the training's flags.
        init: help of `--init`.
    """
    parser.add_argument("--workdir", required=True, help="directory of the run")
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument("--vocab", help="vocabulary of a new encoder (see training.vocabulary)")
    start.add_argument("--init", help=init)
    devices = parser.add_mutually_exclusive_group()
    devices.add_argument("--cpu-replicas", type=int, default=1, help="logical CPU devices to use")
    devices.add_argument(
        "--tpu",
        help="name of a TPU, `local` for those of this machine; shapes are static then "
        "(--static-width)",
    )
    parser.add_argument(
        "--seq-length",
        type=int,
        help="longest sequence in tokens (default: 128; the paper: 128; Model Garden: 32)",
    )
    add_flags(parser.add_argument_group("training"), config)
    add_flags(
        parser.add_argument_group("a new encoder"),
        labse_tf.EncoderConfig,
        preset=labse_tf.EncoderConfig.small(vocab_size=1),
        without=["vocab_size"],  # that of the vocabulary
    )


def read_config(
    parser: argparse.ArgumentParser, flags: argparse.Namespace, kind: type[TrainingConfig]
) -> TrainingConfig:
    """How to train. --stages says the depth of a new encoder, and --tpu that shapes are static."""
    if flags.tpu is not None:
        flags.static_width = True
    config = kind(**from_flags(flags, kind))
    first = config.parsed_stages[0].num_layers
    if first is not None:
        if flags.num_layers not in (None, first):
            parser.error("--stages says the depths; drop --num-layers")
        flags.num_layers = first
    return config


def make_model(
    parser: argparse.ArgumentParser, flags: argparse.Namespace, seed: int, deepen: Deepen
) -> labse_tf.LaBSE:
    """The model to train, made in the scope of the strategy that the flags ask for.

    Args:
        parser: of the flags.
        flags: as `read_config` left them.
        seed: of a new encoder's weights.
        deepen: gives the encoder of `--init` as many layers as the flags say.

    Raises:
        ValueError, OSError: of the vocabulary, the release, or the strategy.
    """
    shape = from_flags(flags, labse_tf.EncoderConfig)
    strategy = choose_strategy(flags.cpu_replicas, flags.tpu)
    tf_keras.utils.set_random_seed(seed)
    with strategy.scope():
        if flags.init:
            num_layers = shape.pop("num_layers", None)
            if shape or flags.seq_length:
                parser.error(f"--init has a shape of its own; drop {sorted(shape)} --seq-length")
            model = labse_tf.load(flags.init)
            if num_layers not in (None, model.encoder.config.num_layers):
                model = labse_tf.LaBSE(model.preprocessor, deepen(model.encoder, num_layers))
        else:
            lengths = {"seq_length": flags.seq_length} if flags.seq_length else {}
            preprocessor = labse_tf.Preprocessor(flags.vocab, **lengths)
            shape["vocab_size"] = preprocessor.vocab_size
            model = labse_tf.LaBSE(
                preprocessor, labse_tf.Encoder(labse_tf.EncoderConfig.small(**shape))
            )
    print(f"{strategy.num_replicas_in_sync} replicas, {model.encoder.count_params():,} weights")
    return model
