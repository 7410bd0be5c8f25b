"""Tensors in safetensors files, some rows at a time (https://github.com/huggingface/safetensors).

The library maps a file into memory, and the pages that were read count as this process's memory
until the file is closed; its `save_file` wants all tensors at once. With 1.9 GB of weights either
is a second copy, so files are read anew for every chunk and written by hand.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from labse_tf.encoder.weights import chunks_of
from labse_tf.extras import install_hint

FILE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_PICKLE = "pytorch_model.bin"


@dataclasses.dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file.

    Args:
        file: Path of the file.
        name: Name of the tensor.
        shape: Shape of the part that is used.
        dtype: Dtype in safetensors' terms, such as "F32".
        first_row: Number of rows at the start of the stored tensor that are not used.
    """

    file: str
    name: str
    shape: list[int]
    dtype: str
    first_row: int = 0

    def chunks(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yields (start, end, the values of these rows), in its own dtype."""
        safe_open, _ = _library()
        for start, end in chunks_of(self.shape):
            with safe_open(self.file, framework="np") as file:
                rows = slice(self.first_row + start, self.first_row + end)
                yield start, end, file.get_slice(self.name)[rows]


def read_tensors(directory: str) -> dict[str, StoredTensor]:
    """The tensors of model.safetensors, or of the shards that its index names, by name.

    Only headers are read here.

    Raises:
        FileNotFoundError: there are no weights, or a shard is missing.
        ImportError: the library is not installed.
        ValueError: a file is not whole, index and shards disagree, or there is only a pickle.
    """
    file = os.path.join(directory, FILE)
    index_file = os.path.join(directory, INDEX)
    if os.path.isfile(file):
        return _tensors_in(file)
    if not os.path.isfile(index_file):
        if os.path.isfile(os.path.join(directory, _PICKLE)):
            raise ValueError(
                f"{os.path.join(directory, _PICKLE)!r} is a pickle, which can run any program when "
                f"it is read, so it is not. If you trust it, convert it once: {_conversion()}"
            )
        raise FileNotFoundError(
            f"{directory!r} has no {FILE} or {INDEX}. It holds: {sorted(os.listdir(directory))}."
        )
    places = read_json(index_file).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(v, str) for v in places.values()):
        raise ValueError(f"{index_file!r} has no `weight_map` from tensors to files.")
    tensors: dict[str, StoredTensor] = {}
    for shard in sorted(set(places.values())):
        shard_file = os.path.join(directory, shard)
        if not os.path.isfile(shard_file):
            raise FileNotFoundError(
                f"{index_file!r} names the file {shard!r}, which is not there. Was the model "
                "downloaded completely?"
            )
        found = _tensors_in(shard_file)
        if twice := sorted(set(found) & set(tensors)):
            raise ValueError(f"{directory!r}: {twice[:10]} stand in more than one file.")
        tensors |= found
    for name, shard in places.items():
        if name not in tensors or os.path.basename(tensors[name].file) != shard:
            raise ValueError(f"{index_file!r} says that {shard!r} holds {name!r}, but it does not.")
    return tensors


def write_tensors(
    file_name: str,
    tensors: Iterable[tuple[str, list[int], Callable[[], Iterable[np.ndarray]]]],
) -> None:
    """Writes float32 tensors, each as (name, shape, a function that gives its rows in turn)."""
    tensors = list(tensors)
    # What the format is: a length, a JSON header that is padded so that the data is aligned, data.
    header: dict[str, dict] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape, _ in tensors:
        start, end = end, end + 4 * int(np.prod(shape, dtype=np.int64))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    with open(file_name, "wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for _, _, rows_in_turn in tensors:
            for rows in rows_in_turn():
                file.write(np.ascontiguousarray(rows, "<f4").data)


def read_json(file_name: str, kind: type = dict):
    """A JSON object in a file, or a list.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds something else; the message names the file.
    """
    with open(file_name, encoding="utf-8") as file:
        try:
            value = json.load(file)
        except ValueError as error:
            raise ValueError(f"{file_name!r} is not JSON: {error}.") from error
    if not isinstance(value, kind):
        raise ValueError(f"{file_name!r} must hold a JSON {kind.__name__}, not {value!r:.80}.")
    return value


def _tensors_in(file_name: str) -> dict[str, StoredTensor]:
    safe_open, SafetensorError = _library()
    try:
        with safe_open(file_name, framework="np") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}
            return {
                name: StoredTensor(file_name, name, list(s.get_shape()), str(s.get_dtype()))
                for name, s in slices.items()
            }
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{file_name!r} is not a whole safetensors file: {error}. Was it downloaded completely?"
        ) from error


def _library():
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise ImportError(
            f"Reading a Hugging Face model needs safetensors: {install_hint('hugging-face')}"
        ) from error
    return safe_open, SafetensorError


def _conversion() -> str:
    return (
        'python -c "from transformers import AutoModel; '
        "AutoModel.from_pretrained('DIR').save_pretrained('DIR', safe_serialization=True)\" "
        "(with sentence_transformers, modules and all: "
        "\"SentenceTransformer('DIR').save('NEW-DIR')\")"
    )
