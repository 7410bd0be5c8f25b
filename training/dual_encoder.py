"""Trains a sentence encoder by translation ranking: python -m training.dual_encoder --help"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tf_keras

import labse_tf
from labse_tf.flags import add_flags, from_flags, run_program
from labse_tf.strategy import choose_strategy


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.dual_encoder",
        description="Trains a sentence encoder by translation ranking with an additive-margin "
        "softmax over negatives gathered from every replica. Started again with the same flags, "
        "it goes on from the last checkpoint. `python -m export.saved_model` exports the run.",
    )
    parser.add_argument("--pairs", nargs="+", required=True, help="files of translation pairs")
    parser.add_argument("--workdir", required=True, help="directory of the run")
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument("--vocab", help="vocabulary of a new encoder (see training.vocabulary)")
    start.add_argument("--init", help="release to go on from; --num-layers may add layers on top")
    parser.add_argument(
        "--held-out", nargs="+", default=(), help="files of pairs to measure retrieval on, P@1"
    )
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
        help="longest sentence in tokens (default: 128; the paper: 128; Model Garden: 32)",
    )
    add_flags(
        parser.add_argument_group("training"),
        labse_tf.FineTuningConfig,
    )
    add_flags(
        parser.add_argument_group("a new encoder"),
        labse_tf.EncoderConfig,
        preset=labse_tf.EncoderConfig.small(vocab_size=1),
    )
    flags = parser.parse_args(arguments)
    shape = from_flags(flags, labse_tf.EncoderConfig)
    if flags.tpu is not None:
        flags.static_width = True
    config = labse_tf.FineTuningConfig(**from_flags(flags, labse_tf.FineTuningConfig))
    first = config.parsed_stages[0].num_layers
    if first is not None and shape.setdefault("num_layers", first) != first:
        parser.error("--stages says the depths; drop --num-layers")

    strategy = choose_strategy(flags.cpu_replicas, flags.tpu)
    tf_keras.utils.set_random_seed(config.seed)
    with strategy.scope():
        if flags.init:
            model = labse_tf.load(flags.init)
            num_layers = shape.pop("num_layers", model.encoder.config.num_layers)
            if shape or flags.seq_length:
                parser.error(f"--init has a shape of its own; drop {sorted(shape)} --seq-length")
            model = labse_tf.LaBSE(model.preprocessor, labse_tf.grow(model.encoder, num_layers))
        else:
            lengths = {"seq_length": flags.seq_length} if flags.seq_length else {}
            preprocessor = labse_tf.Preprocessor(flags.vocab, **lengths)
            shape["vocab_size"] = preprocessor.vocab_size
            model = labse_tf.LaBSE(
                preprocessor, labse_tf.Encoder(labse_tf.EncoderConfig.small(**shape))
            )
    print(f"{strategy.num_replicas_in_sync} replicas, {model.encoder.count_params():,} weights")
    labse_tf.fine_tune(model, flags.pairs, config, flags.workdir, held_out=flags.held_out)


if __name__ == "__main__":
    run_program(main)
