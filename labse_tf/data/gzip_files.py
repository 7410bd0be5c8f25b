"""Gzip files that Python reads and TensorFlow does not."""

from __future__ import annotations

import os
import zlib

import tensorflow as tf

_BYTES_AT_ONCE = 2**17
_MAGIC = b"\x1f\x8b"


def check_gzip_end(path: str | os.PathLike) -> None:
    """Raises ValueError if zeros follow the data of a gzip, as some copies to blocks leave them.

    `zcat` and Python pass over them; TensorFlow takes them for a damaged file, in the middle of a
    training. Of another file, and of most gzips, only the first and the last bytes are read.
    """
    path = os.fspath(path)
    with tf.io.gfile.GFile(path, "rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            return
        file.seek(file.size() - 1)
        if file.read(1) != b"\0":  # the end of the data's own size may also be zeros
            return
        file.seek(0)
        member = None  # of a gzip, which may have several
        while block := file.read(_BYTES_AT_ONCE):
            while block:
                if member is None and block.startswith(b"\0"):
                    raise ValueError(
                        f"{path!r}: zeros follow the gzip's data, which TensorFlow cannot read. "
                        f"Compress it again: zcat {path} | gzip > NEW.gz"
                    )
                member = member or zlib.decompressobj(wbits=31)
                try:
                    member.decompress(block)
                except zlib.error:
                    return  # another damage, which its reader names
                block = member.unused_data
                if member.eof:
                    member = None
