"""The TensorFlow Model Garden: a TF2 checkpoint, its configuration and its vocabulary.

bert_config.json            or encoder_config.json, the fields of the Model Garden's
                            BertEncoderConfig; beside them, where they are not Google's, the
                            `tokenization` of our Preprocessor and its longest words
*vocab*.txt                 lower-casing if "uncased" is in its name, as the Model Garden has it
NAME.index, NAME.data-*     tf.train.Checkpoint(encoder=BertEncoder(...)), or model=
"""

from __future__ import annotations

import glob
import json
import os
from typing import Any

import tensorflow as tf

from labse_tf.encoder.config import EncoderConfig
from labse_tf.encoder.encoder import Encoder
from labse_tf.encoder.weights import unfilled_variables
from labse_tf.extras import install_hint
from labse_tf.files.atomic import atomic_directory
from labse_tf.pretrained.checkpoints import EncoderCheckpoint, parts_of, split
from labse_tf.tokenization.choices import BEFORE_THE_CHOICE, SENTENCEPIECE
from labse_tf.tokenization.preprocessing import DEFAULT_SEQ_LENGTH, Preprocessor

CONFIG_FILES = ("bert_config.json", "encoder_config.json")
CHECKPOINT = "bert_model.ckpt"
# Our fields, each with its name in bert_config.json and in BertEncoderConfig.
_FIELDS = {
    "vocab_size": ("vocab_size", "vocab_size"),
    "hidden_size": ("hidden_size", "hidden_size"),
    "num_layers": ("num_hidden_layers", "num_layers"),
    "num_heads": ("num_attention_heads", "num_attention_heads"),
    "intermediate_size": ("intermediate_size", "intermediate_size"),
    "max_positions": ("max_position_embeddings", "max_position_embeddings"),
    "type_vocab_size": ("type_vocab_size", "type_vocab_size"),
    "dropout": ("hidden_dropout_prob", "dropout_rate"),
    "initializer_range": ("initializer_range", "initializer_range"),
}
# The Model Garden's "gelu" is the approximation by tanh. It has no word for the one by erf; this
# is ours, which its own tools refuse rather than compute something else.
_ACTIVATIONS = {"gelu": "gelu_tanh", "gelu_erf": "gelu", "relu": "relu"}


def is_model_garden(path: str) -> bool:
    """Whether `path` is a checkpoint's prefix, or a directory of one with a configuration."""
    if os.path.isfile(f"{path}.index"):
        return True
    return bool(glob.glob(os.path.join(glob.escape(path), "*.index"))) and any(
        os.path.isfile(os.path.join(path, name)) for name in CONFIG_FILES
    )


def read(path: str | os.PathLike, vocab_file: str | None = None) -> tuple[Preprocessor, Encoder]:
    """Reads a Model Garden encoder.

    Args:
        path: the directory, or the checkpoint's prefix in it.
        vocab_file: the vocabulary, if it is not the directory's only file `*vocab*.txt`.

    Raises:
        FileNotFoundError: checkpoint, configuration or vocabulary is missing.
        ValueError: one of them is not what it should be, or they do not fit together.
    """
    path = os.fspath(path)
    directory = path if os.path.isdir(path) else os.path.dirname(path)
    prefix = _newest(path) if os.path.isdir(path) else path
    checkpoint = EncoderCheckpoint(prefix)
    config, tokenization = _read_config(directory)
    vocab_file = vocab_file or _only_vocabulary(directory)
    encoder = checkpoint.encoder(config)
    preprocessor = Preprocessor(
        vocab_file,
        min(DEFAULT_SEQ_LENGTH, config.max_positions),
        lower_case="uncased" in os.path.basename(vocab_file),
        **tokenization,
    )
    return preprocessor, encoder


def write(path: str | os.PathLike, preprocessor: Preprocessor, encoder: Encoder) -> None:
    """Writes what `read` reads, and `tf.train.Checkpoint(encoder=BertEncoder(...))` restores.

    Raises:
        FileExistsError: `path` exists.
        ImportError: the Model Garden is not installed: its own classes write the checkpoint.
        ValueError: the model has no form in the Model Garden (mean pooling, no layer, another
            epsilon, SentencePiece).
    """
    path, config = os.path.abspath(path), encoder.config
    if os.path.lexists(path):
        raise FileExistsError(f"{path!r} exists. Choose another path.")
    if config.pooling != "cls":
        raise ValueError(
            f"The Model Garden's BertEncoder pools by [CLS], but `pooling` is {config.pooling!r}."
        )
    if not config.num_layers:
        raise ValueError(
            "The Model Garden's BertEncoder has at least one layer, but this one none."
        )
    if config.layer_norm_epsilon != 1e-12:
        raise ValueError(
            "The Model Garden's BertEncoder has a `layer_norm_epsilon` of 1e-12, but this "
            f"encoder's is {config.layer_norm_epsilon}."
        )
    if preprocessor.tokenization == SENTENCEPIECE:
        raise ValueError(
            "The Model Garden's BertEncoder comes with a WordPiece vocabulary, but `tokenization` "
            f"is {SENTENCEPIECE!r}."
        )
    bert = _bert_encoder(encoder)
    lower_case = "uncased" if preprocessor.lower_case else "cased"
    with atomic_directory(path) as unfinished:
        with open(os.path.join(unfinished, f"{lower_case}_vocab.txt"), "wb") as file:
            file.write(preprocessor.vocabulary)
        with open(os.path.join(unfinished, CONFIG_FILES[0]), "w", encoding="utf-8") as file:
            json.dump(_config_fields(config) | _tokenization_fields(preprocessor), file, indent=2)
        try:
            tf.train.Checkpoint(encoder=bert).write(os.path.join(unfinished, CHECKPOINT))
        except tf.errors.OpError as error:
            raise OSError(f"{path!r} could not be written: {error.message}") from error


def _newest(directory: str) -> str:
    """The prefix of the newest checkpoint, or of the only one."""
    if newest := tf.train.latest_checkpoint(directory):
        return newest
    found = sorted(glob.glob(os.path.join(glob.escape(directory), "*.index")))
    if len(found) != 1:
        raise FileNotFoundError(
            f"{directory!r} should hold one checkpoint, but it holds "
            f"{[os.path.basename(f) for f in found] or 'none'}. Name one by its path less .index."
        )
    return found[0].removesuffix(".index")


def _only_vocabulary(directory: str) -> str:
    found = sorted(glob.glob(os.path.join(glob.escape(directory), "*vocab*.txt")))
    if len(found) != 1:
        raise FileNotFoundError(
            f"{directory!r} should hold one file *vocab*.txt, but it holds "
            f"{[os.path.basename(f) for f in found] or 'none'}. Name the vocabulary's file."
        )
    return found[0]


def _read_config(directory: str) -> tuple[EncoderConfig, dict[str, Any]]:
    """The shape of the encoder, and the preprocessor's arguments on tokenization."""
    path = next((p for n in CONFIG_FILES if os.path.isfile(p := os.path.join(directory, n))), None)
    if path is None:
        raise FileNotFoundError(
            f"{directory!r} holds no configuration: none of {', '.join(CONFIG_FILES)}."
        )
    with open(path, encoding="utf-8") as file:
        try:
            fields = json.load(file)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}: not JSON: {error}.") from error
    if not isinstance(fields, dict):
        raise ValueError(f"{path}: must be a JSON object, not {type(fields).__name__}.")
    if fields.get("norm_first"):
        raise ValueError(f"{path}: `norm_first` is set, but LaBSE normalises last (post-LN).")
    width = fields.get("embedding_size")
    if width is not None and width != fields.get("hidden_size"):
        raise ValueError(f"{path}: factorised embeddings (`embedding_size` {width}) are not LaBSE.")
    activation = fields.get("hidden_act", fields.get("hidden_activation", "gelu"))
    if activation not in _ACTIVATIONS:
        raise ValueError(
            f"{path}: the activation {activation!r} is none of {sorted(_ACTIVATIONS)}."
        )
    tokenization = {name: fields.get(name, usual) for name, usual in BEFORE_THE_CHOICE.items()}
    for name in ("max_word_bytes", "max_word_characters"):
        most = tokenization[name]
        if most is not None and (type(most) is not int or most < 1):
            raise ValueError(
                f"{path}: `{name}` must be a number of at least 1, or null for no limit, but is "
                f"{most!r}."
            )
    found = {}
    for ours, names in _FIELDS.items():
        given = [fields[name] for name in names if name in fields]
        if given:
            found[ours] = given[0]
    try:
        config = EncoderConfig(**found, pooling="cls", activation=_ACTIVATIONS[activation])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    return config, tokenization


def _tokenization_fields(preprocessor: Preprocessor) -> dict[str, Any]:
    """What is not Google's, which goes without saying. The Model Garden's BertConfig takes any."""
    values = {name: getattr(preprocessor, name) for name in BEFORE_THE_CHOICE}
    return {name: value for name, value in values.items() if value != BEFORE_THE_CHOICE[name]}


def _config_fields(config: EncoderConfig) -> dict[str, Any]:
    names = {ours: theirs for theirs, ours in _ACTIVATIONS.items()}
    return {
        **{theirs: getattr(config, ours) for ours, (theirs, _) in _FIELDS.items()},
        "attention_probs_dropout_prob": config.dropout,
        "hidden_act": names[config.activation],
    }


def _bert_encoder(encoder: Encoder):
    """The Model Garden's BertEncoder with our weights."""
    try:
        from official.nlp.modeling.networks import BertEncoder
    except ImportError as error:
        raise ImportError(
            f"Writing for the Model Garden needs it: {install_hint('training')}."
        ) from error
    config = encoder.config
    with unfilled_variables():
        bert = BertEncoder(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            num_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            max_sequence_length=config.max_positions,
            type_vocab_size=config.type_vocab_size,
            inner_dim=config.intermediate_size,
            dict_outputs=True,
        )
    theirs = {w.name.removesuffix(":0"): w for w in bert.weights}
    parts = parts_of(config)
    for weight in encoder.weights:
        for name, values in split(weight, parts[weight.name.removesuffix(":0")], config).items():
            theirs.pop(name).assign(values)
    if theirs:
        raise ValueError(f"This Model Garden's BertEncoder has weights of its own: {list(theirs)}.")
    return bert
