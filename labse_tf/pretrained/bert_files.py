"""The encoder as transformers.BertModel or XLMRobertaModel: config.json, names of the tensors."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from labse_tf.encoder.config import EncoderConfig
from labse_tf.encoder.encoder import Encoder
from labse_tf.encoder.weights import assign, rows_of, unfilled_encoder
from labse_tf.pretrained.safetensors_files import StoredTensor, read_json, read_tensors

CONFIG = "config.json"
_DTYPES = ("F32", "F16", "BF16")  # read as float32, which holds them all
_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}
# Our fields, their keys, and the values of transformers.BertConfig where config.json has none.
# Dropout of the attention weights has a key of its own there, but not here.
_FIELDS = {
    "vocab_size": ("vocab_size", 30522),
    "hidden_size": ("hidden_size", 768),
    "num_layers": ("num_hidden_layers", 12),
    "num_heads": ("num_attention_heads", 12),
    "intermediate_size": ("intermediate_size", 3072),
    "max_positions": ("max_position_embeddings", 512),
    "type_vocab_size": ("type_vocab_size", 2),
    "dropout": ("hidden_dropout_prob", 0.1),
    "layer_norm_epsilon": ("layer_norm_eps", 1e-12),
    "initializer_range": ("initializer_range", 0.02),
}
WORDS = "embeddings.word_embeddings.weight"
# Our weights' names and theirs.
_TABLES = {
    f"embeddings/{name}": f"embeddings.{theirs}_embeddings.weight"
    for name, theirs in (("word", "word"), ("position", "position"), ("type", "token_type"))
}
_OUTSIDE = {"embeddings/layer_norm": "embeddings.LayerNorm", "pooler": "pooler.dense"}
_LAYER = {
    "attention_qkv": [f"attention.self.{name}" for name in ("query", "key", "value")],
    "attention_output": ["attention.output.dense"],
    "attention_layer_norm": ["attention.output.LayerNorm"],
    "intermediate": ["intermediate.dense"],
    "output": ["output.dense"],
    "output_layer_norm": ["output.LayerNorm"],
}
_POOLER = {"linear.weight": "pooler.dense.weight", "linear.bias": "pooler.dense.bias"}
# Position numbers, and the heads of pre-training: nothing in them makes an embedding.
_IGNORED = re.compile(r"((bert|roberta)\.)?embeddings\.position_ids|cls\..*|lm_head\..*")
BERT, XLM_ROBERTA = "bert", "xlm-roberta"
# XLMRobertaModel counts positions from its padding id, 1, plus 1. Its first two rows are unused.
_FIRST_POSITION = {BERT: 0, XLM_ROBERTA: 2}
_POSITIONS = "embeddings.position_embeddings.weight"


def read_config(file_name: str, pooling: str) -> EncoderConfig:
    """Reads a config.json.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is neither a BertModel's nor an XLMRobertaModel's, or it asks for another
            computation than LaBSE's.
    """
    values = {key: value for key, value in read_json(file_name).items() if value is not None}
    model_type = values.get("model_type")
    if model_type not in _FIRST_POSITION:
        raise ValueError(
            f"{file_name!r}: `model_type` is {model_type!r}, but it must be one of "
            f"{list(_FIRST_POSITION)}."
        )
    first_position = _FIRST_POSITION[model_type]
    for key, wanted in (
        ("position_embedding_type", "absolute"),
        ("is_decoder", False),
    ):
        found = values.get(key, wanted)  # newer versions leave out keys with only one value
        if found != wanted:
            raise ValueError(
                f"{file_name!r}: `{key}` is {found!r}, but only {wanted!r} is LaBSE's."
            )
    if first_position and values.get("pad_token_id", 1) != first_position - 1:
        raise ValueError(
            f"{file_name!r}: `pad_token_id` is {values['pad_token_id']!r}, but XLM-RoBERTa's is "
            f"{first_position - 1}, from which its positions are counted."
        )
    activation = values.get("hidden_act", "gelu")
    if activation not in _ACTIVATIONS:
        raise ValueError(
            f"{file_name!r}: `hidden_act` is {activation!r}, but it must be one of "
            f"{list(_ACTIVATIONS)}."
        )
    fields = {ours: values.get(theirs, default) for ours, (theirs, default) in _FIELDS.items()}
    fields["max_positions"] -= first_position
    try:
        return EncoderConfig(**fields, activation=_ACTIVATIONS[activation], pooling=pooling)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file_name!r}: {error}") from error


def config_to_write(config: EncoderConfig, padding_id: int) -> dict:
    """Return the config.json of an encoder, as a BertModel.

    Args:
        config: Shape of the encoder.
        padding_id: Id of the padding token.
    """
    activation = next(theirs for theirs, ours in _ACTIVATIONS.items() if ours == config.activation)
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        **{theirs: getattr(config, ours) for ours, (theirs, _) in _FIELDS.items()},
        "attention_probs_dropout_prob": config.dropout,
        "hidden_act": activation,
        "position_embedding_type": "absolute",
        "pad_token_id": padding_id,
    }


def read_bert(directory: str, pooling: str, dense: str | None) -> dict[str, StoredTensor]:
    """Return the tensors that an embedding is computed from, under their newest names.

    Args:
        directory: Directory of the model; its names may have the prefix `bert.` or `roberta.`, and
            a layer norm's be gamma and beta.
        pooling: of the encoder.
        dense: the directory of a dense layer that stands in for BertModel's pooler.

    Raises: see `read_tensors`, and
        ValueError: two tensors are the same one, or there is no pooler and nothing in its stead.
    """
    named: dict[str, StoredTensor] = {}
    for name, tensor in read_tensors(directory).items():
        if _IGNORED.fullmatch(name):
            continue
        new = name.removeprefix("bert.").removeprefix("roberta.")
        new = new.replace("LayerNorm.gamma", "LayerNorm.weight")
        new = new.replace("LayerNorm.beta", "LayerNorm.bias")
        if new in named:
            raise ValueError(f"{tensor.file!r}: {name!r} and {named[new].name!r} are both there.")
        named[new] = tensor
    model_type = read_json(os.path.join(directory, CONFIG)).get("model_type")
    if (skipped := _FIRST_POSITION[model_type]) and (table := named.get(_POSITIONS)):
        shape = [table.shape[0] - skipped, *table.shape[1:]]
        named[_POSITIONS] = dataclasses.replace(table, shape=shape, first_row=skipped)
    if dense is None and pooling == "cls":
        if not named.keys() & set(_POOLER.values()):
            raise ValueError(
                f"{directory!r} has no tensor 'pooler.dense.weight', nor a modules.json that says "
                "how a sentence is pooled. Get the model with its pooler; one that takes the mean "
                "needs its SentenceTransformer's modules.json."
            )
        return named
    named = {name: t for name, t in named.items() if name not in _POOLER.values()}
    if dense is not None:
        named |= {_POOLER.get(name, name): t for name, t in read_tensors(dense).items()}
    return named


def unfilled(config: EncoderConfig, tensors: dict[str, StoredTensor], directory: str) -> Encoder:
    """An encoder for which `fill` can be called, once every tensor is known to fit.

    Raises:
        ValueError: tensors are missing, have no place in it, or have another shape or dtype.
    """
    encoder = unfilled_encoder(config)
    shapes = {}
    for weight in encoder.weights:
        theirs = _parts(weight)
        *inputs, outputs = weight.shape
        rows = [outputs // len(theirs), *inputs] if _is_dense(weight) else list(weight.shape)
        shapes |= dict.fromkeys(theirs, rows)
    if missing := sorted(set(shapes) - set(tensors)):
        raise ValueError(f"{directory!r} lacks the tensors {_some(missing)}.")
    if extra := sorted(tensors[name].name for name in set(tensors) - set(shapes)):
        raise ValueError(
            f"{directory!r} holds tensors that an encoder of {config.num_layers} layers has no "
            f"place for: {_some(extra)}."
        )
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tensor.shape != shape:
            raise ValueError(
                f"{tensor.file!r}: tensor {tensor.name!r} has shape "
                f"{tensor.shape}, but {CONFIG} says {shape}."
            )
        if tensor.dtype not in _DTYPES:
            raise ValueError(
                f"{tensor.file!r}: tensor {tensor.name!r} is {tensor.dtype}, "
                f"but it must be one of {', '.join(_DTYPES)}. Save the model in float32."
            )
    return encoder


def fill(encoder: Encoder, tensors: dict[str, StoredTensor]) -> None:
    """Gives an encoder its weights, each read once, in chunks, as float32."""
    for weight in encoder.weights:
        assign(weight, _filler(weight, [tensors[name] for name in _parts(weight)]))


def tensors_to_write(encoder: Encoder) -> list[tuple[str, list[int], Callable]]:
    """The encoder's weights as BertModel's: (name, shape, a function that gives rows in turn)."""
    tensors = []
    for weight in encoder.weights:
        parts = _parts(weight)
        if not _is_dense(weight):
            tensors.append((parts[0], list(weight.shape), lambda weight=weight: rows_of(weight)))
            continue
        *inputs, outputs = weight.shape
        for index, name in enumerate(parts):
            size = outputs // len(parts)
            columns = slice(index * size, (index + 1) * size)
            # No chunks: only tables are large.
            tensors.append(
                (name, [size, *inputs], lambda w=weight, c=columns: [w.value()[..., c].numpy().T])
            )
    return tensors


def dense_to_write(tensors: Iterable[tuple]) -> list[tuple]:
    """Of what `tensors_to_write` gave, the pooler under the names of a SentenceTransformer."""
    names = {theirs: name for name, theirs in _POOLER.items()}
    return [(names[name], *rest) for name, *rest in tensors if name in names]


def _filler(weight: tf.Variable, tensors: list[StoredTensor]) -> Callable[[np.ndarray], None]:
    def fill(array: np.ndarray) -> None:
        # Torch's kernels are [outputs, inputs]; query, key and value lie side by side in ours.
        rows = array.T if _is_dense(weight) else array
        offset = 0
        for tensor in tensors:
            for start, end, values in tensor.chunks():
                rows[offset + start : offset + end] = values
            offset += tensor.shape[0]

    return fill


def _is_dense(weight: tf.Variable) -> bool:
    """Whether it is a kernel or a bias: transposed, and perhaps several side by side."""
    return weight.name.removesuffix(":0").endswith(("/kernel", "/bias"))


def _parts(weight: tf.Variable) -> list[str]:
    """The tensors of a BertModel that make one of our weights."""
    path = weight.name.removesuffix(":0")
    layer, _, kind = path.rpartition("/")
    if path in _TABLES:
        return [_TABLES[path]]
    kind = {"kernel": "weight", "scale": "weight", "bias": "bias", "offset": "bias"}[kind]
    top, _, part = layer.partition("/")
    if top.startswith("layer_"):
        top = f"encoder.layer.{top.removeprefix('layer_')}."
        return [f"{top}{name}.{kind}" for name in _LAYER[part]]
    return [f"{_OUTSIDE[layer]}.{kind}"]


def _some(names: list[str]) -> str:
    return f"{names[:10]}" + (f" and {len(names) - 10} more" if len(names) > 10 else "")
