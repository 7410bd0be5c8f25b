"""The special tokens, and vocabularies as files: one token a line, the line number being the id."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence

from labse_tf.files.lines import read_blocks

PADDING, UNKNOWN, START, END, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
_BYTE_ORDER_MARK = "\ufeff"


def read_vocabulary(vocab_file: str | os.PathLike) -> dict[str, int]:
    """Reads one token a line; returns token -> id, in the file's order.

    A byte order mark before the first token is dropped.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is empty, holds an empty line, a duplicate, a carriage return or
            invalid UTF-8 (with the line), or lacks one of [PAD], [UNK], [CLS], [SEP].
    """
    vocab_file = os.fspath(vocab_file)
    if not os.path.isfile(vocab_file):
        raise FileNotFoundError(f"There is no vocabulary file {vocab_file!r}.")
    ids: dict[str, int] = {}
    blocks = read_blocks(vocab_file, compressed=False)
    for number, token in enumerate(itertools.chain.from_iterable(blocks)):
        if not number and token != _BYTE_ORDER_MARK:
            token = token.removeprefix(_BYTE_ORDER_MARK)
        if "\r" in token:
            raise ValueError(
                f"{vocab_file}:{number + 1}: the line ends in a carriage return. "
                "Convert the file to Unix line ends (`sed -i 's/\\r$//' FILE`)."
            )
        if not token:
            raise ValueError(f"{vocab_file}:{number + 1}: the line is empty. Remove it.")
        if ids.setdefault(token, number) != number:
            raise ValueError(
                f"{vocab_file}:{number + 1}: token {token!r} stands already on line "
                f"{ids[token] + 1}; a token has one id."
            )
    if not ids:
        raise ValueError(f"The vocabulary {vocab_file!r} is empty: expected one token a line.")
    _require_special(ids, f"The vocabulary {vocab_file!r}")
    return ids


def ids_of(tokens: Sequence[str]) -> dict[str, int]:
    """Token -> id of a vocabulary, which a file can hold.

    Raises:
        ValueError: as `read_vocabulary`.
    """
    ids = {token: number for number, token in enumerate(tokens)}
    if len(ids) < len(tokens):
        twice = next(token for number, token in enumerate(tokens) if ids[token] != number)
        raise ValueError(f"Token {twice!r} stands twice in the vocabulary; a token has one id.")
    if (bad := next((t for t in ids if not t or "\n" in t or "\r" in t), None)) is not None:
        raise ValueError(f"Token {ids[bad]} of the vocabulary is empty or has a line end: {bad!r}.")
    _require_special(ids, "The vocabulary")
    return ids


def _require_special(ids: dict[str, int], vocabulary: str) -> None:
    if missing := [token for token in (PADDING, UNKNOWN, START, END) if token not in ids]:
        raise ValueError(f"{vocabulary} lacks {', '.join(missing)}.")
