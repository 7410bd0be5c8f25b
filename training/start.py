"""How the training programs begin: their flags, their strategy, the model that they train."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import tf_keras

import labse_tf
from labse_tf.commands.flags import add_flags, from_flags
from labse_tf.tokenization.choices import GOOGLE, TOKENIZATIONS
from labse_tf.training.config import FineTuningConfig, PretrainingConfig, TrainingConfig
from labse_tf.training.strategy import choose_strategy

Deepen = Callable[[labse_tf.Encoder, int], labse_tf.Encoder]
_WORDS = ("seq_length", "max_word_bytes", "tokenization")  # flags of a Preprocessor
_SEQ_LENGTHS = {
    FineTuningConfig: "the paper: 128; Model Garden: 32",
    PretrainingConfig: "the paper: 512",
}


def add_start(
    parser: argparse.ArgumentParser, config: type[TrainingConfig], init: str, held_out: str
) -> None:
    """Adds the flags of a run: its directory, its data, its model, its devices, its training.

    Args:
        parser: is added to.
        config: the dataclass of the training's flags.
        init: help of `--init`.
        held_out: help of `--held-out`.
    """
    parser.add_argument("--held-out", nargs="+", default=(), help=held_out)
    parser.add_argument(
        "--workdir",
        required=True,
        help="directory of the run; with several workers, one that all of them share",
    )
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
        help=f"longest sequence in tokens (default: 128; {_SEQ_LENGTHS[config]})",
    )
    parser.add_argument(
        "--max-word-bytes",
        type=int,
        help="a longer word is [UNK]: 100 in Google's models, and in runs that were begun before "
        "there was this flag; needs --vocab (default: no limit)",
    )
    parser.add_argument(
        "--tokenization",
        choices=TOKENIZATIONS,
        help=f"how text is divided into words, as of training.vocabulary (default: {GOOGLE})",
    )
    # With a preset, what was not given is None.
    add_flags(parser.add_argument_group("training"), config, preset=config())
    add_flags(
        parser.add_argument_group("a new encoder"),
        labse_tf.EncoderConfig,
        preset=labse_tf.EncoderConfig.small(vocab_size=1),
        without=["vocab_size"],  # that of the vocabulary
        others={"LaBSE": labse_tf.EncoderConfig.base()},
    )


def read_config(
    parser: argparse.ArgumentParser, flags: argparse.Namespace, kind: type[TrainingConfig]
) -> TrainingConfig:
    """How to train. --stages says the depth of a new encoder, and --tpu that shapes are static."""
    if flags.evaluate_every is not None and not flags.held_out:
        parser.error("--evaluate-every measures on --held-out files; give some, or drop it")
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
    words = {name: getattr(flags, name) for name in _WORDS if getattr(flags, name) is not None}
    strategy = choose_strategy(flags.cpu_replicas, flags.tpu)
    tf_keras.utils.set_random_seed(seed)
    with strategy.scope():
        if flags.init:
            num_layers = shape.pop("num_layers", None)
            given = [f"--{name.replace('_', '-')}" for name in {**shape, **words}]
            if given:
                parser.error(f"--init has a shape and words of its own; drop {' '.join(given)}")
            model = labse_tf.load(flags.init)
            if num_layers not in (None, model.encoder.config.num_layers):
                model = model.with_parts(encoder=deepen(model.encoder, num_layers))
        else:
            preprocessor = labse_tf.Preprocessor(flags.vocab, **words)
            shape["vocab_size"] = preprocessor.vocab_size
            model = labse_tf.LaBSE(
                preprocessor, labse_tf.Encoder(labse_tf.EncoderConfig.small(**shape))
            )
    print(f"{strategy.num_replicas_in_sync} replicas, {model.encoder.count_params():,} weights")
    return model
