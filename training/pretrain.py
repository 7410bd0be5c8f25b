"""Pre-trains an encoder by masked language modelling: python -m training.pretrain --help"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tf_keras

import labse_tf
from labse_tf.flags import add_flags, from_flags, run_program
from labse_tf.pretraining import PretrainingConfig, pretrain
from labse_tf.strategy import choose_strategy


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.pretrain",
        description="Pre-trains an encoder by masked language modelling (MLM) on text and "
        "translation language modelling (TLM) on translation pairs, growing it by stacking. "
        "Started again with the same flags, it goes on from the last checkpoint. "
        "`python -m export.saved_model` exports the run, and `python -m training.dual_encoder "
        "--init` takes the release.",
    )
    parser.add_argument(
        "--pairs", nargs="+", default=[], help="files of translation pairs, for TLM"
    )
    parser.add_argument(
        "--text",
        nargs="+",
        help="texts for MLM, a sentence a line, one file a language; or files of translation "
        "pairs, each side of which is text (default: --pairs)",
    )
    parser.add_argument("--workdir", required=True, help="directory of the run")
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument("--vocab", help="vocabulary of a new encoder (see training.vocabulary)")
    start.add_argument("--init", help="release to go on from")
    parser.add_argument(
        "--held-out",
        nargs="+",
        default=(),
        help="texts or pairs to measure masked accuracy and perplexity on, language by language",
    )
    devices = parser.add_mutually_exclusive_group()
    devices.add_argument("--cpu-replicas", type=int, default=1, help="logical CPU devices to use")
    devices.add_argument(
        "--tpu",
        help="name of a TPU, `local` for those of this machine; shapes are static then "
        "(--static-width)",
    )
    parser.add_argument(
        "--seq-length", type=int, help="length of a full sequence in tokens (default: 128)"
    )
    add_flags(parser.add_argument_group("training"), PretrainingConfig)
    add_flags(
        parser.add_argument_group("a new encoder"),
        labse_tf.EncoderConfig,
        preset=labse_tf.EncoderConfig.small(vocab_size=1),
    )
    flags = parser.parse_args(arguments)
    shape = from_flags(flags, labse_tf.EncoderConfig)
    if flags.tpu is not None:
        flags.static_width = True
    config = PretrainingConfig(**from_flags(flags, PretrainingConfig))
    first = config.parsed_stages[0].num_layers
    if first is not None and shape.setdefault("num_layers", first) != first:
        parser.error("--stages says the depths; drop --num-layers")

    strategy = choose_strategy(flags.cpu_replicas, flags.tpu)
    tf_keras.utils.set_random_seed(config.seed)
    with strategy.scope():
        if flags.init:
            shape.pop("num_layers", None)
            if shape or flags.seq_length:
                parser.error(f"--init has a shape of its own; drop {sorted(shape)} --seq-length")
            model = labse_tf.load(flags.init)
        else:
            lengths = {"seq_length": flags.seq_length} if flags.seq_length else {}
            preprocessor = labse_tf.Preprocessor(flags.vocab, **lengths)
            shape["vocab_size"] = preprocessor.vocab_size
            model = labse_tf.LaBSE(
                preprocessor, labse_tf.Encoder(labse_tf.EncoderConfig.small(**shape))
            )
    print(f"{strategy.num_replicas_in_sync} replicas, {model.encoder.count_params():,} weights")
    text = flags.pairs if flags.text is None else flags.text
    pretrain(model, text, flags.pairs, config, flags.workdir, held_out=flags.held_out)


if __name__ == "__main__":
    run_program(main)
