"""Checkpoints of the TensorFlow Model Garden's encoders, by the names of their variables."""

from __future__ import annotations

import re

import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from labse_tf.encoder.config import EncoderConfig
from labse_tf.encoder.encoder import Encoder
from labse_tf.encoder.weights import unfilled_encoder

_WORDS = "word_embeddings/embeddings"
# What stands beside an encoder in checkpoints and adds nothing to a sentence's embedding: the heads
# of pre-training by their variables' names, the state of training by its keys.
_HEADS = re.compile(r"(^|/)(cls|classification|next_sentence|sentence_prediction)/")
_TRAINING = re.compile(r"(^|/)optimizer/|/\.OPTIMIZER_SLOT/")


class EncoderCheckpoint:
    """The variables of one Model Garden encoder in a TensorFlow checkpoint.

    A checkpoint's keys follow from the objects that wrote it; beside each stands the name that
    its variable had, and that is what is read here. So it does not matter whether it was written
    as `Checkpoint(encoder=...)`, `Checkpoint(model=...)` or a SavedModel's variables.

    Args:
        prefix: the checkpoint's path, less `.index`.

    Raises:
        ValueError: it cannot be read, or holds no encoder, or more than one.
    """

    def __init__(self, prefix: str):
        self.prefix = prefix
        try:
            self._reader = tf.train.load_checkpoint(prefix)
            graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(
                self._reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")
            )
        except (IndexError, ValueError, tf.errors.OpError) as error:
            raise ValueError(
                f"{prefix!r} is not a whole TensorFlow 2 checkpoint: {error}"
            ) from error
        self.shapes = self._reader.get_variable_to_shape_map()
        self.dtypes = self._reader.get_variable_to_dtype_map()
        named = [
            (attribute.full_name, attribute.checkpoint_key)
            for node in graph.nodes
            for attribute in node.attributes
            if self.shapes.get(attribute.checkpoint_key)  # counters and rates are scalars
            and not _TRAINING.search(attribute.checkpoint_key)
        ]
        tables = sorted(name for name, _ in named if name.endswith(_WORDS))
        if len(tables) != 1:
            raise ValueError(
                f"{prefix!r} should hold one variable {_WORDS!r}, but it holds "
                f"{tables or sorted(name for name, _ in named)[:10]}."
            )
        scope = tables[0].removesuffix(_WORDS)  # as bert_encoder/
        self.keys = {
            name.removeprefix(scope): key
            for name, key in named
            if not _HEADS.search(name.removeprefix(scope))
        }

    def shape(self, name: str) -> list[int]:
        """The shape of a variable.

        Raises:
            ValueError: there is none of this name.
        """
        if name not in self.keys:
            raise ValueError(
                f"{self.prefix!r} lacks the variable {name!r}; it holds {sorted(self.keys)[:10]}..."
            )
        return list(self.shapes[self.keys[name]])

    def values(self, name: str) -> tf.Tensor:
        """The values of a variable, float32, read once and copied never."""
        key = self.keys[name]
        dtype = self.dtypes[key]
        if dtype not in (tf.float32, tf.float16, tf.bfloat16):
            raise ValueError(
                f"{self.prefix!r}: {name!r} is {dtype.name}, but an encoder's weights are float32, "
                "float16 or bfloat16."
            )
        try:
            (values,) = tf.raw_ops.RestoreV2(
                prefix=self.prefix, tensor_names=[key], shape_and_slices=[""], dtypes=[dtype]
            )
        except tf.errors.OpError as error:
            raise ValueError(f"{self.prefix!r}: cannot read {name!r}: {error.message}") from error
        return tf.cast(values, tf.float32)

    def scalar(self, key: str) -> float | None:
        """The value under a key, or None if there is none."""
        return self._reader.get_tensor(key).item() if key in self.shapes else None

    def config(self, **fields) -> EncoderConfig:
        """The encoder's shape, from its variables' shapes; `fields`: what these do not show."""
        vocab_size, hidden_size = self.shape(_WORDS)
        layers = {m[1] for name in self.keys if (m := re.match(r"transformer/layer_(\d+)/", name))}
        if layers:
            fields["num_heads"] = self.shape("transformer/layer_0/self_attention/query/kernel")[1]
            fields["intermediate_size"] = self.shape("transformer/layer_0/intermediate/kernel")[1]
        return EncoderConfig(
            **{
                **fields,
                "vocab_size": vocab_size,
                "hidden_size": hidden_size,
                "num_layers": len(layers),
                "max_positions": self.shape("position_embedding/embeddings")[0],
                "type_vocab_size": self.shape("type_embeddings/embeddings")[0],
                "pooling": "cls",
            }
        )

    def encoder(self, config: EncoderConfig) -> Encoder:
        """The encoder, with every variable of the checkpoint in it.

        Raises:
            ValueError: a variable is missing, has another shape, or has no place in `config`.
        """
        expected = _shapes(config)
        for name, shape in expected.items():
            if self.shape(name) != shape:
                raise ValueError(
                    f"{self.prefix!r}: {name!r} has shape {self.shape(name)}, but the "
                    f"configuration says {shape}."
                )
        if extra := sorted(set(self.keys) - set(expected)):
            raise ValueError(
                f"{self.prefix!r} holds variables that a LaBSE encoder of {config.num_layers} "
                f"layers has no place for: {extra[:10]}."
            )
        encoder = unfilled_encoder(config)
        parts = parts_of(config)
        for weight in encoder.weights:
            rows = weight.shape[0] if weight.shape.rank == 2 else 1
            pieces = [tf.reshape(self.values(n), [rows, -1]) for n in parts[_name(weight)]]
            values = pieces[0] if len(pieces) == 1 else tf.concat(pieces, axis=1)
            weight.assign(tf.reshape(values, weight.shape))
        return encoder


def parts_of(config: EncoderConfig) -> dict[str, list[str]]:
    """Our weights' names, each with the Model Garden's variables that make it, side by side."""
    parts = {
        "embeddings/word": [_WORDS],
        "embeddings/position": ["position_embedding/embeddings"],
        "embeddings/type": ["type_embeddings/embeddings"],
        "embeddings/layer_norm/scale": ["embeddings/layer_norm/gamma"],
        "embeddings/layer_norm/offset": ["embeddings/layer_norm/beta"],
        "pooler/kernel": ["pooler_transform/kernel"],
        "pooler/bias": ["pooler_transform/bias"],
    }
    for i in range(config.num_layers):
        ours, theirs = f"layer_{i}", f"transformer/layer_{i}"
        for kind in ("kernel", "bias"):
            attention = f"{theirs}/self_attention"
            parts |= {
                f"{ours}/attention_qkv/{kind}": [
                    f"{attention}/{x}/{kind}" for x in ("query", "key", "value")
                ],
                f"{ours}/attention_output/{kind}": [f"{attention}/attention_output/{kind}"],
                f"{ours}/intermediate/{kind}": [f"{theirs}/intermediate/{kind}"],
                f"{ours}/output/{kind}": [f"{theirs}/output/{kind}"],
            }
        for a, b in (("scale", "gamma"), ("offset", "beta")):
            parts |= {
                f"{ours}/attention_layer_norm/{a}": [f"{theirs}/self_attention_layer_norm/{b}"],
                f"{ours}/output_layer_norm/{a}": [f"{theirs}/output_layer_norm/{b}"],
            }
    return parts


def _shapes(config: EncoderConfig) -> dict[str, list[int]]:
    """The shape that each of the Model Garden's variables must have."""
    hidden, inner = config.hidden_size, config.intermediate_size
    heads = [config.num_heads, config.head_size]
    ends = {
        _WORDS: [config.vocab_size, hidden],
        "position_embedding/embeddings": [config.max_positions, hidden],
        "type_embeddings/embeddings": [config.type_vocab_size, hidden],
        "pooler_transform/kernel": [hidden, hidden],
        "attention_output/kernel": [*heads, hidden],
        "intermediate/kernel": [hidden, inner],
        "intermediate/bias": [inner],
        "/output/kernel": [inner, hidden],
    }
    for part in ("query", "key", "value"):
        ends |= {f"{part}/kernel": [hidden, *heads], f"{part}/bias": heads}
    names = [name for parts in parts_of(config).values() for name in parts]
    return {
        name: next((shape for end, shape in ends.items() if name.endswith(end)), [hidden])
        for name in names
    }


def _name(weight: tf.Variable) -> str:
    return weight.name.removesuffix(":0")


def split(weight: tf.Variable, names: list[str], config: EncoderConfig) -> dict[str, tf.Tensor]:
    """The Model Garden's variables, in their shapes, that one of our weights stands for."""
    shapes = _shapes(config)
    if len(names) == 1:
        return {names[0]: tf.reshape(weight.value(), shapes[names[0]])}
    pieces = tf.split(weight.value(), len(names), axis=-1)
    return {n: tf.reshape(p, shapes[n]) for n, p in zip(names, pieces, strict=True)}
