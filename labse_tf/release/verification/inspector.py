"""What a process without labse_tf gets from a SavedModel: inspector.py SAVED_MODEL OUT GIVEN

Run as a file, in a fresh process. GIVEN is JSON: `inputs`, the names of an encoder's inputs;
`sentences` to embed; `warmup_file`, where a release has its warm-up requests. Whatever is tried
goes to OUT.json under a name: what it returned, or the error; arrays go to OUT.npz. What that
must be is for the checks to say.
"""

from __future__ import annotations

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import saved_model_pb2


class Inspector:
    """Tries things on a SavedModel, and keeps what each returned, or its error.

    Args:
        path: the SavedModel's directory.
        inputs: the names of ids, mask and types in an encoder's inputs.
        sentences: what to embed.
        warmup_file: where in `path` the warm-up requests are.
    """

    def __init__(self, path: str, inputs: list[str], sentences: list[str], warmup_file: str):
        self.path, self.inputs, self.sentences = path, inputs, sentences
        self.warmup_file = os.path.join(path, warmup_file)
        self.facts: dict[str, object] = {}
        self.arrays: dict[str, np.ndarray] = {}

    def attempt(self, name: str, function):
        """Keeps what a function returns, or its error; arrays by their names."""
        try:
            value = function()
        except Exception as error:  # of any kind: it is a finding
            self.facts[name] = {"error": f"{type(error).__name__}: {str(error).strip()[:600]}"}
            return None
        if isinstance(value, dict) and all(tf.is_tensor(v) for v in value.values()):
            self.facts[name] = {key: _described(tensor) for key, tensor in value.items()}
            self.arrays.update({f"{name}/{k}": tensor.numpy() for k, tensor in value.items()})
        elif tf.is_tensor(value):
            self.facts[name] = _described(value)
            self.arrays[name] = value.numpy()
        else:
            self.facts[name] = value
        return value

    def inspect(self) -> None:
        """Tries all that the release format has."""
        attempt, sentences = self.attempt, tf.constant(self.sentences)
        attempt("operations", lambda: foreign_operations(self.path))
        import tensorflow_text  # noqa: F401  registers the preprocessor's ops

        loaded = attempt("load", lambda: _Opaque(tf.saved_model.load(self.path)))
        if loaded is None:
            return
        self.facts["load"] = True
        root = loaded.value
        attempt("root", lambda: root(sentences))
        attempt("root/training", lambda: root(sentences, training=True))
        attempt("root/training again", lambda: root(sentences, training=True))
        attempt("root/empty batch", lambda: root(tf.constant([], tf.string)))
        attempt("root/weights", lambda: [len(root.variables), len(root.trainable_variables)])
        attempt("regularization_losses", lambda: len(root.regularization_losses))
        attempt("do_lower_case", lambda: bool(root.do_lower_case.numpy()))
        attempt("vocabulary", lambda: _lines(root.vocab_file))
        attempt("config", lambda: json.loads(_bytes(root.config_file)))
        attempt("signatures", lambda: {k: _signature(v) for k, v in root.signatures.items()})
        attempt("serving_default", lambda: root.signatures["serving_default"](sentences=sentences))

        packed = attempt("preprocessor", lambda: root.preprocessor(sentences))
        attempt("width", lambda: self.widths(root.preprocessor))
        tokens = attempt("tokenize", lambda: _Opaque(root.preprocessor.tokenize(sentences)))
        self.facts["tokenize"] = True if tokens else self.facts["tokenize"]
        attempt("special_tokens", lambda: root.preprocessor.tokenize.get_special_tokens_dict())
        for count in (1, 2):
            attempt(
                f"bert_pack_inputs/{count}",
                lambda count=count: root.preprocessor.bert_pack_inputs(
                    [tokens.value] * count, seq_length=tf.constant(9)
                ),
            )
        encoder = root.encoder if callable(getattr(root, "encoder", None)) else root
        rows = attempt("word table", lambda: _table(encoder.variables))
        ids = self.some_ids(rows[0] if rows else 2)
        if packed is None:  # an encoder alone
            packed = ids
        attempt("ids", lambda: self.accepted(encoder, ids))
        take = self.listed if self.facts["ids"] == "list" else dict
        attempt("encoder", lambda: _named(encoder(take(packed))))
        attempt("encoder on ids", lambda: _named(encoder(take(ids))))
        attempt("encoder/training", lambda: _named(encoder(take(packed), training=True)))
        attempt(
            "encoder/weights", lambda: [len(encoder.variables), len(encoder.trainable_variables)]
        )
        attempt("token_ids", lambda: root.signatures["token_ids"](**packed))
        attempt("warm-up", lambda: self.warm_up(root))

    def warm_up(self, root) -> list[tuple[str, int]]:
        """Signature and batch size of each request, after it ran."""
        done = []
        for record in tf.data.TFRecordDataset(self.warmup_file):
            # PredictionLog.predict_log, PredictLog.request, and the fields of PredictRequest.
            request = _fields(_fields(_fields(record.numpy())[6][0])[1][0])
            signature = _fields(request[1][0])[3][0].decode()
            inputs = {}
            for entry in map(_fields, request[2]):
                tensor = tensor_pb2.TensorProto.FromString(entry[2][0])
                inputs[entry[1][0].decode()] = tf.constant(tf.make_ndarray(tensor))
            outputs = root.signatures[signature](**inputs)
            done.append((signature, int(outputs["embeddings"].shape[0])))
        return done

    def widths(self, preprocessor) -> list[int | None]:
        """The static width of each of the preprocessor's outputs."""
        traced = tf.function(preprocessor).get_concrete_function(tf.TensorSpec([None], tf.string))
        return [traced.structured_outputs[name].shape[1] for name in self.inputs]

    def some_ids(self, rows: int) -> dict[str, tf.Tensor]:
        """Padded ids for an encoder of so many word pieces: the same for each such encoder."""
        mask = tf.sequence_mask([16, 9, 2, 1], 16, tf.int32)
        ids = tf.reshape(tf.range(4 * 16, dtype=tf.int32) * 7919 % rows, [4, 16])
        return dict(zip(self.inputs, (ids * mask, mask, 0 * mask), strict=True))

    def listed(self, ids: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        """The three in the order that google/LaBSE/1 takes them in."""
        return [ids[name] for name in self.inputs]

    def accepted(self, encoder, ids: dict[str, tf.Tensor]) -> str:
        """Whether an encoder takes ids as a dict, or a list of them alone."""
        try:
            encoder(ids)
        except Exception:
            encoder(self.listed(ids))
            return "list"
        return "dict"


def foreign_operations(path: str) -> list[str]:
    """All operations in all functions of a SavedModel that TensorFlow alone does not have.

    Without the prefix `TFText>`. To be called before tensorflow_text is imported: what
    `tf.raw_ops` has until then is TensorFlow's own.
    """
    with open(os.path.join(path, "saved_model.pb"), "rb") as file:
        (meta_graph,) = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs
    functions = meta_graph.graph_def.library.function
    nodes = [*meta_graph.graph_def.node, *(node for f in functions for node in f.node_def)]
    operations = {node.op for node in nodes} - {f.signature.name for f in functions}
    foreign = {operation for operation in operations if not hasattr(tf.raw_ops, operation)}
    return sorted(operation.removeprefix("TFText>") for operation in foreign)


class _Opaque:
    """Keeps a value that cannot be written to JSON."""

    def __init__(self, value):
        self.value = value


def _fields(message: bytes) -> dict[int, list[bytes]]:
    """The length-delimited fields of a protocol buffer."""
    found: dict[int, list[bytes]] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        number, size = varint() >> 3, varint()
        found.setdefault(number, []).append(message[at : at + size])
        at += size
    return found


def _named(outputs) -> dict[str, tf.Tensor]:
    """google/LaBSE/1 gives [pooled_output, sequence_output]."""
    if isinstance(outputs, (list, tuple)):
        return dict(zip(("pooled_output", "sequence_output"), outputs, strict=False))
    return dict(outputs)


def _described(tensor: tf.Tensor) -> str:
    return f"{tensor.dtype.name} {tensor.shape.as_list()}"


def _signature(function) -> dict[str, dict[str, str]]:
    _, inputs = function.structured_input_signature
    return {
        "inputs": {name: f"{spec.dtype.name} {spec.shape}" for name, spec in inputs.items()},
        "outputs": {
            name: f"{spec.dtype.name} {spec.shape}"
            for name, spec in function.structured_outputs.items()
        },
    }


def _bytes(asset) -> bytes:
    with open(asset.asset_path.numpy(), "rb") as file:
        return file.read()


def _lines(asset) -> int:
    return _bytes(asset).count(b"\n")


def _table(variables) -> list[int]:
    """The shape of the word embeddings: the matrix with the most rows."""
    return max((v.shape.as_list() for v in variables if v.shape.rank == 2), key=lambda s: s[0])


def main(path: str, output: str, given: str) -> None:
    """Inspects, and writes OUT.json and OUT.npz."""
    inspector = Inspector(path, **json.loads(given))
    inspector.inspect()
    with open(f"{output}.json", "w", encoding="utf-8") as file:
        json.dump(inspector.facts, file)
    np.savez(f"{output}.npz", **inspector.arrays)


if __name__ == "__main__":
    sys.modules["labse_tf"] = None  # `import labse_tf` raises ImportError
    main(*sys.argv[1:])
