"""Flags of the programs come from dataclasses, and come back as them."""

import argparse
import dataclasses
import json
import typing

import pytest

from labse_tf.commands.flags import add_flags, from_flags, run_program
from labse_tf.encoder.config import EncoderConfig
from labse_tf.preparation.options import PreparationOptions
from labse_tf.training.config import FineTuningConfig, PretrainingConfig
from training.start import add_start, make_model, read_config

# Where the default's successor would be refused; a default, where two options exclude each other.
OTHERS = {
    "stages": "2:40%,4:60%",
    "precision": "bfloat16",
    "format": "tsv",
    "pooling": "mean",
    "activation": "relu",
    "hidden_size": 24,
    "num_heads": 3,
    "tlm_share": 0.25,
    "row_sparse": False,
    "embedding_rate_factor": 1.0,  # another one needs row-sparse updates
    "jit_compile": False,
    "min_score": -1.0,
    "language_filter": "identified",
    # Multiples of `steps_per_execution`, which becomes 2.
    "steps": 20_000,
    "checkpoint_every": 502,
    "report_every": 52,
    "evaluate_every": 502,
}
CONFIGS = [FineTuningConfig, PretrainingConfig, EncoderConfig, PreparationOptions]


def other(field, hint):
    if field.name in OTHERS:
        return OTHERS[field.name]
    if hint is bool:
        return not field.default
    if field.default is dataclasses.MISSING:
        return 1234
    return {int: lambda x: x + 1, float: lambda x: x / 2, str: lambda x: x + "x"}[hint](
        field.default
    )


def values_unlike_the_defaults(kind):
    hints = typing.get_type_hints(kind)
    return {f.name: other(f, hints[f.name]) for f in dataclasses.fields(kind)}


def as_flags(values):
    for name, value in values.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            yield f"--{flag}" if value else f"--no-{flag}"
        else:
            yield f"--{flag}={value}"


@pytest.mark.parametrize("kind", CONFIGS, ids=lambda kind: kind.__name__)
def test_round_trip(kind):
    parser = argparse.ArgumentParser()
    add_flags(parser, kind)
    values = values_unlike_the_defaults(kind)
    flags = parser.parse_args(list(as_flags(values)))
    assert dataclasses.asdict(kind(**from_flags(flags, kind))) == values
    # A field that is forgotten, or another one's, would show in one of these.
    for name, value in values.items():
        if name in ("vocab_size", "num_heads"):  # without default; 3 heads need the width
            continue
        given = [] if kind is not EncoderConfig else ["--vocab-size=1234"]
        expected = {} if kind is not EncoderConfig else {"vocab_size": 1234}
        flags = parser.parse_args([*given, *as_flags({name: value})])
        assert kind(**from_flags(flags, kind)) == kind(**{**expected, name: value}), name


@pytest.mark.parametrize("kind", [FineTuningConfig, PretrainingConfig])
def test_help_has_each_field_and_its_default(kind):
    parser = argparse.ArgumentParser()
    add_flags(parser, kind)
    text = " ".join(parser.format_help().split())
    for field in dataclasses.fields(kind):
        assert f"{field.metadata['help']} (default: {field.default})" in text


def start_parser(kind=FineTuningConfig):
    parser = argparse.ArgumentParser(prog="x")
    add_start(parser, kind, init="", held_out="")
    return parser


def test_help_of_pre_training_has_the_papers_recipe():
    text = " ".join(start_parser(PretrainingConfig).format_help().split())
    for said in [
        "over all replicas; the paper: 8,192 (default: 256)",
        "a global batch; the paper: 3,000,000 (default: 10000)",
        "the paper: a quarter, a half, all of the layers, for 400,000, 800,000 and 1,800,000 steps",
        "of the word pieces to predict; the paper: 0.2 (default: 0.15)",
        "mask_rate times its length; the paper: 80 (default: 0)",
        "longest sequence in tokens (default: 128; the paper: 512)",
    ]:
        assert said in text


def test_help_of_translation_ranking_has_the_papers_recipe():
    text = " ".join(start_parser().format_help().split())
    for said in [
        "--hidden-size INT (default: 256; LaBSE: 768)",
        "over all replicas; the paper: 4,096; Model Garden: 4,096 (default: 256)",
        "subtracted from a pair's cosine; the paper: 0.3; Model Garden: 0.3 (default: 0.3)",
        "highest learning rate of AdamW; the paper: 1e-3; Model Garden: 1e-4 (default: 5e-05)",
        "a global batch; the paper: 50,000; Model Garden: 500,000 (default: 10000)",
        "learning rate rises; then it falls, to 0 at the end of the run; Model Garden: 5,000 ",
        "Model Garden: 100 (default: ",
        "(default: 128; the paper: 128; Model Garden: 32)",
    ]:
        assert said in text


@pytest.mark.parametrize(
    ("kind", "flag"),
    [
        (FineTuningConfig, "--vocab-size=5"),
        (PretrainingConfig, "--vocab-size=5"),
        (PretrainingConfig, "--row-sparse"),
        (PretrainingConfig, "--ema-decay=0.9"),
    ],
)
def test_a_flag_that_would_do_nothing_is_not_there(kind, flag, capsys):
    with pytest.raises(SystemExit):
        start_parser(kind).parse_args(["--workdir=x", "--vocab=y", flag])
    assert f"unrecognized arguments: {flag}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "depth", "static"),
    [
        ([], None, False),
        (["--num-layers=3"], 3, False),
        (["--stages=1:50%,3:50%"], 1, False),
        (["--stages=1:50%,3:50%", "--num-layers=1"], 1, False),
        (["--tpu=local"], None, True),
        (["--static-width"], None, True),
    ],
)
def test_what_flags_say_of_one_another(arguments, depth, static):
    parser = start_parser()
    flags = parser.parse_args(["--workdir=x", "--vocab=y", *arguments])
    config = read_config(parser, flags, FineTuningConfig)
    assert (flags.num_layers, config.static_width) == (depth, static)


def test_stages_and_another_depth_are_refused(capsys):
    parser = start_parser()
    flags = parser.parse_args(
        ["--workdir=x", "--vocab=y", "--stages=1:50%,3:50%", "--num-layers=3"]
    )
    with pytest.raises(SystemExit):
        read_config(parser, flags, FineTuningConfig)
    assert "--stages says the depths; drop --num-layers" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [FineTuningConfig, PretrainingConfig])
def test_measuring_on_nothing_is_refused(kind, capsys):
    parser = start_parser(kind)
    default = str(kind().evaluate_every)  # also the default, if it is given
    arguments = ["--workdir=x", "--vocab=y", "--evaluate-every", default]
    with pytest.raises(SystemExit):
        read_config(parser, parser.parse_args(arguments), kind)
    assert "--evaluate-every measures on --held-out files" in capsys.readouterr().err
    flags = parser.parse_args([*arguments, "--held-out", "z"])
    assert read_config(parser, flags, kind) == kind()


@pytest.mark.parametrize(
    ("arguments", "limit", "tokenization"),
    [
        ([], None, "google"),
        (["--max-word-bytes=100"], 100, "google"),
        (["--tokenization=hugging-face"], None, "hugging-face"),
    ],
)
def test_words_of_a_vocabulary(arguments, limit, tokenization, vocab_file):
    parser = start_parser()
    arguments = ["--workdir=x", f"--vocab={vocab_file}", *arguments, "--num-layers=0"]
    preprocessor = make_model(parser, parser.parse_args(arguments), 0, None).preprocessor
    assert (preprocessor.max_word_bytes, preprocessor.tokenization) == (limit, tokenization)


def test_a_release_has_a_shape_and_words_of_its_own(capsys):
    parser = start_parser()
    flags = ["--seq-length=8", "--max-word-bytes=9", "--tokenization=google"]
    flags += ["--hidden-size=16", "--num-layers=3"]
    with pytest.raises(SystemExit):
        make_model(parser, parser.parse_args(["--workdir=x", "--init=y", *flags]), 0, None)
    said = "drop --hidden-size --seq-length --max-word-bytes --tokenization"
    assert capsys.readouterr().err.rstrip().endswith(said)


def test_errors_are_one_line_and_status_2(capsys):
    def fail(arguments):
        raise ValueError("no such thing")

    with pytest.raises(SystemExit) as end:
        run_program(fail)
    assert end.value.code == 2
    assert capsys.readouterr().err == "error: no such thing\n"


@pytest.mark.parametrize("fault", [lambda: None + 1, lambda: int("x"), lambda: json.loads("{")])
def test_errors_that_nothing_here_raised_name_the_traceback(capsys, monkeypatch, fault):
    """A fault of the program looks like a fault of the user otherwise."""
    with pytest.raises(SystemExit) as end:
        run_program(lambda arguments: fault())
    (message,) = capsys.readouterr().err.splitlines()
    assert end.value.code == 2 and message.startswith("error: ")
    assert "may be a bug in labse_tf: LABSE_TRACEBACK=1" in message
