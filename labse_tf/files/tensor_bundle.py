"""Tensors of a TensorFlow checkpoint as NumPy arrays, without TensorFlow.

A checkpoint is a "tensor bundle": PREFIX.index, a table of names and places in the format of
LevelDB (tensorflow/core/lib/io/table_format.txt, tensorflow/core/protobuf/tensor_bundle.proto), and
PREFIX.data-*, the numbers themselves, which are mapped into memory and read as they are used.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping

import numpy as np

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48  # bytes: two block handles, padded; the magic number
_TRAILER = 5  # bytes after a block: how it is compressed, a checksum
# Numbers of tensorflow/core/framework/types.proto. bfloat16 is read as its bits.
_DTYPES = {
    1: np.dtype("<f4"),
    3: np.dtype("<i4"),
    6: np.dtype("i1"),
    9: np.dtype("<i8"),
    14: np.dtype("<u2"),
    19: np.dtype("<f2"),
}
_BFLOAT16 = 14
_OBJECTS = b"_CHECKPOINTABLE_OBJECT_GRAPH"  # which variable is which tensor


def read_variables(prefix: str | os.PathLike) -> dict[str, np.ndarray]:
    """All numeric variables of a checkpoint of objects, by their own names.

    Args:
        prefix: of the files: `variables/variables` of a SavedModel.

    Returns:
        Memory maps (what is written to one stays in this process); of bfloat16 variables float32
        arrays, which are copies. Names are as `tf.Variable.name`, without ":0".

    Raises:
        FileNotFoundError: there is no such checkpoint, or a file of it is missing.
        ValueError: it is not a checkpoint, or not a whole one.
    """
    path = f"{os.fspath(prefix)}.index"
    with open(path, "rb") as file:
        content = file.read()
    try:
        entries = dict(_entries(content))
        header = _message(entries.pop(b""))
        shards = _only(header, 1, 1)
        if header.get(2):
            raise ValueError("its numbers are big-endian")
    except (IndexError, KeyError, struct.error, ValueError) as error:
        raise ValueError(f"{path!r} is not the index of a checkpoint: {error}") from error
    data = [f"{os.fspath(prefix)}.data-{i:05d}-of-{shards:05d}" for i in range(shards)]
    maps = [np.memmap(name, np.uint8, "c") if os.path.getsize(name) else b"" for name in data]
    tensors, graph = {}, b""
    for name, entry in entries.items():
        fields = _message(entry)
        number = _only(fields, 1, 0)
        shard, offset, size = (_only(fields, field, 0) for field in (3, 4, 5))
        if offset + size > len(maps[shard]):
            raise ValueError(
                f"{data[shard]!r} ends before {name.decode()!r}: is it a part of the file?"
            )
        if name == _OBJECTS:
            graph = _string(bytes(maps[shard][offset : offset + size]))
        if number not in _DTYPES:
            continue
        shape = [_only(_message(dim), 1, 0) for dim in _message(_only(fields, 2, b"")).get(2, [])]
        dtype = _DTYPES[number]
        if size != dtype.itemsize * int(np.prod(shape, dtype=np.int64)):
            raise ValueError(f"{path!r}: {name.decode()!r} of shape {shape} has {size} bytes.")
        if fields.get(7):
            raise ValueError(f"{path!r}: {name.decode()!r} is in slices, which are not read here.")
        array = np.frombuffer(maps[shard], dtype, int(np.prod(shape, dtype=np.int64)), offset)
        array = array.reshape(shape)
        if number == _BFLOAT16:
            array = (array.astype(np.uint32) << 16).view(np.float32)
        tensors[name.decode()] = array
    return {name: tensors[key] for name, key in _names(graph) if key in tensors}


def _names(graph: bytes) -> Iterator[tuple[str, str]]:
    """Of the variables of a TrackableObjectGraph: the name, and the key of the tensor."""
    for node in _message(graph).get(1, []):
        for attribute in _message(node).get(2, []):
            fields = _message(attribute)
            if name := _only(fields, 2, b""):
                yield name.decode(), _only(fields, 3, b"").decode()


def _string(content: bytes) -> bytes:
    """The only element of a tensor of strings: lengths, a checksum of them, the strings."""
    length, at = _varint(content, 0)
    return content[at + 4 : at + 4 + length]


def _entries(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a table."""
    if len(content) < _FOOTER or struct.unpack("<Q", content[-8:])[0] != _MAGIC:
        raise ValueError("it lacks the magic number at its end")
    footer = content[-_FOOTER:]
    _, at = _handle(footer, 0)  # of the metadata, which there is none of
    index, _ = _handle(footer, at)
    for _, value in _block(content, index):
        handle, _ = _handle(value, 0)
        yield from _block(content, handle)


def _handle(content: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Offset and size of a block; and where the handle ends."""
    offset, at = _varint(content, at)
    size, at = _varint(content, at)
    return (offset, size), at


def _block(content: bytes, handle: tuple[int, int]) -> Iterator[tuple[bytes, bytes]]:
    offset, size = handle
    if offset + size + _TRAILER > len(content):
        raise ValueError("it ends within a block")
    if content[offset + size]:
        raise ValueError("it is compressed")
    block = content[offset : offset + size]
    (restarts,) = struct.unpack("<I", block[-4:])
    at, end, key = 0, size - 4 * (restarts + 1), b""
    while at < end:
        shared, at = _varint(block, at)
        rest, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + rest]
        at += rest
        yield key, block[at : at + length]
        at += length


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _message(content: bytes) -> dict[int, list[int | bytes]]:
    """The fields of a protocol buffer by number."""
    fields: dict[int, list[int | bytes]] = {}
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(content, at)
        elif kind == 2:
            length, at = _varint(content, at)
            value, at = content[at : at + length], at + length
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
            value, at = content[at : at + length], at + length
        else:
            raise ValueError(f"a field of kind {kind}")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _only(fields: Mapping[int, list], number: int, default):
    return fields.get(number, [default])[-1]
