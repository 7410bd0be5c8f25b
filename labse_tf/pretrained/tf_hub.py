"""TF-Hub's LaBSE: google/LaBSE/1 and /2, and what the Model Garden's export_tfhub.py writes.

Such a SavedModel takes token ids and holds the encoder, its vocabulary and whether to lower-case.
No graph of it is run or loaded: the weights are read from its variables, the rest from its
description. Whether its `pooled_output` was normalised makes no difference to an embedding, since
every embedding here is normalised once, at the end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework import node_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from labse_tf.encoder.encoder import Encoder
from labse_tf.pretrained.checkpoints import EncoderCheckpoint
from labse_tf.tokenization.choices import GOOGLE_MAX_WORD_BYTES
from labse_tf.tokenization.preprocessing import DEFAULT_SEQ_LENGTH, Preprocessor

_LOWER_CASE = "do_lower_case/.ATTRIBUTES/VARIABLE_VALUE"


def is_saved_model(path: str) -> bool:
    """Whether `path` is the directory of a SavedModel."""
    return os.path.isfile(os.path.join(path, "saved_model.pb"))


def read(path: str | os.PathLike, vocab_file: str | None = None) -> tuple[Preprocessor, Encoder]:
    """Reads an encoder that was exported for TF-Hub.

    Args:
        path: the SavedModel's directory.
        vocab_file: the vocabulary, if the SavedModel has none.

    Raises:
        FileNotFoundError: the vocabulary is missing.
        ValueError: it is not a SavedModel of a BERT encoder as LaBSE is one, or not a whole one.
    """
    path = os.fspath(path)
    meta_graph = _meta_graph(path)
    checkpoint = EncoderCheckpoint(os.path.join(path, "variables", "variables"))
    if _says(meta_graph, path, "norm_first", True):
        raise ValueError(f"{path!r} normalises first (`norm_first`), but LaBSE normalises last.")
    config = checkpoint.config(activation=_activation(meta_graph, path))
    encoder = checkpoint.encoder(config)
    vocab_file = vocab_file or os.path.join(path, "assets", _vocabulary(meta_graph, path))
    lower_case = checkpoint.scalar(_LOWER_CASE)
    preprocessor = Preprocessor(
        vocab_file,
        min(DEFAULT_SEQ_LENGTH, config.max_positions),
        # As the Model Garden has it where the SavedModel does not say.
        "uncased" in os.path.basename(vocab_file) if lower_case is None else bool(lower_case),
        GOOGLE_MAX_WORD_BYTES,
    )
    return preprocessor, encoder


def _meta_graph(path: str) -> meta_graph_pb2.MetaGraphDef:
    file_name = os.path.join(path, "saved_model.pb")
    try:
        with open(file_name, "rb") as file:
            saved_model = saved_model_pb2.SavedModel.FromString(file.read())
    except DecodeError as error:
        raise ValueError(f"{file_name!r} is not a whole SavedModel: {error}") from error
    if len(saved_model.meta_graphs) != 1 or not saved_model.meta_graphs[0].object_graph_def.nodes:
        raise ValueError(f"{file_name!r} is not a TensorFlow 2 SavedModel.")
    return saved_model.meta_graphs[0]


def _vocabulary(meta_graph: meta_graph_pb2.MetaGraphDef, path: str) -> str:
    """The file name of the asset that the root has as `vocab_file`."""
    nodes = meta_graph.object_graph_def.nodes
    for child in nodes[0].children:
        if child.local_name == "vocab_file" and nodes[child.node_id].HasField("asset"):
            index = nodes[child.node_id].asset.asset_file_def_index
            # An asset lies in assets/, whatever the file says: nothing is read from elsewhere.
            return os.path.basename(meta_graph.asset_file_def[index].filename)
    raise FileNotFoundError(f"{path!r} holds no `vocab_file`. Name the vocabulary's file.")


def _nodes(meta_graph: meta_graph_pb2.MetaGraphDef) -> Iterator[node_def_pb2.NodeDef]:
    yield from meta_graph.graph_def.node
    for function in meta_graph.graph_def.library.function:
        yield from function.node_def


def _activation(meta_graph: meta_graph_pb2.MetaGraphDef, path: str) -> str:
    """The feed-forward layers' activation, by what is computed."""
    ops = set()
    for node in _nodes(meta_graph):
        ops.add(node.op)
        if node.op == "Const" and node.attr["dtype"].type == tf.float32.as_datatype_enum:
            tensor = node.attr["value"].tensor
            if not tensor.tensor_shape.dim and np.isclose(tf.make_ndarray(tensor), 0.044715):
                return "gelu_tanh"  # x + 0.044715 x^3 is in no other function
    if "Erf" in ops or "Erfc" in ops:
        return "gelu"
    if "Relu" in ops:
        return "relu"
    raise ValueError(
        f"{path!r}: the activation is neither gelu (by erf or by tanh) nor relu: none of their "
        "operations is in the graph."
    )


def _says(meta_graph: meta_graph_pb2.MetaGraphDef, path: str, key: str, value: object) -> bool:
    """Whether Keras' description of a layer, where there is one, has this setting."""
    setting = json.dumps({key: value})[1:-1].encode()
    nodes = meta_graph.object_graph_def.nodes
    if any(setting.decode() in node.user_object.metadata for node in nodes):
        return True
    keras_file = os.path.join(path, "keras_metadata.pb")  # where newer versions put it
    if not os.path.isfile(keras_file):
        return False
    with open(keras_file, "rb") as file:
        return setting in file.read()
