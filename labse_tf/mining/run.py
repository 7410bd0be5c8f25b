"""One run of mining, in a directory: both sides read, embedded and searched, and what stays."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable

import numpy as np

from labse_tf.files.atomic import atomic_file
from labse_tf.mining.embedding import Encode, check_same_model, dim_of, embed_side
from labse_tf.mining.given_embeddings import check_given, given_rows, unit_rows
from labse_tf.mining.options import MiningOptions
from labse_tf.mining.pairs import Pairs, candidates, cosines_of, kept_pairs
from labse_tf.mining.rows import Rows
from labse_tf.mining.searching import check_memory, fastest_precision, search
from labse_tf.mining.sides import Side, read_side
from labse_tf.mining.work_directory import stored_choice
from labse_tf.search.neighbours import Neighbours

# Rows in float32 that take less than this part of the memory are not worth rounding.
_SMALL = 0.25


@dataclasses.dataclass(frozen=True)
class Input:
    """What a side is read from.

    Args:
        lines: a sentence each, or id TAB sentence.
        place: its name, for messages.
        embeddings: of its lines, an array or the path of a .npy file, if they are there.
        may_have_ids: whether a TAB means an id.
    """

    lines: Iterable[str]
    place: str
    embeddings: np.ndarray | str | os.PathLike | None = None
    may_have_ids: bool = True


@dataclasses.dataclass(frozen=True)
class Mined:
    """What a run found.

    Args:
        source: the sentences.
        target: the sentences.
        pairs: those that stay, best first.
        cosines: float32 [pairs].
        dropped: candidates that did not stay, by what dropped them.
    """

    source: Side
    target: Side
    pairs: Pairs
    cosines: np.ndarray
    dropped: dict[str, int]

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.source, self.target


def mine_pairs(
    source: Input,
    target: Input,
    folder: str,
    encode: Encode | None,
    options: MiningOptions,
    show_progress: bool | None = None,
) -> Mined:
    """Mines, in steps whose results are kept in `folder`, and taken from there.

    Args:
        source: what the sources are read from.
        target: what the targets are read from.
        folder: to work in.
        encode: embeds; None, if the embeddings of both sides are given.
        options: what is a pair, and which stay.
        show_progress: whether to draw progress bars on stderr; None: if it is a terminal.

    Raises:
        OSError, ValueError: as `labse_tf.mine`.
    """
    sides = read_sides(source, target, folder, options)
    for side, of in zip(sides, (source, target)):
        if of.embeddings is None:
            check_same_model(side, encode, os.path.join(folder, f"{side.name}.model.npy"))
    check_memory(*map(len, sides), _dim((source, target), sides, encode), options)
    rows: list[Rows | None] = [None, None]
    # What is given is looked at before what takes long.
    for i, of in sorted(enumerate((source, target)), key=lambda pair: pair[1].embeddings is None):
        rows[i] = rows_of(
            sides[i], of, folder, encode, options, sum(map(len, sides)), show_progress
        )
    if rows[0].shape[1] != rows[1].shape[1]:
        raise ValueError(
            f"The embeddings of {source.place} have {rows[0].shape[1]} numbers, those of "
            f"{target.place} {rows[1].shape[1]}: they are of different models."
        )
    found = _searched(*rows, folder, options, show_progress)
    pairs, dropped = kept_pairs(candidates(found, options), *sides, options)
    return Mined(*sides, pairs, cosines_of(pairs, *rows), dropped)


def _dim(inputs: tuple[Input, Input], sides: tuple[Side, Side], encode: Encode | None) -> int:
    """Numbers of a row."""
    if encode is not None:
        return dim_of(sides[0], encode)
    return given_rows(inputs[0].embeddings, sides[0], inputs[0].place).shape[1]


def read_sides(
    source: Input, target: Input, folder: str, options: MiningOptions
) -> tuple[Side, Side]:
    """Both sides, and whether there are enough sentences."""
    sides = tuple(
        read_side(of.lines, name, folder, options, of.place, of.may_have_ids)
        for name, of in (("source", source), ("target", target))
    )
    for side, of in zip(sides, (source, target)):
        if options.k > len(side):
            raise ValueError(
                f"`k` (={options.k}) must be at most the {len(side):,} different sentences of "
                f"{of.place}."
            )
    return sides


def rows_of(
    side: Side,
    of: Input,
    folder: str,
    encode: Encode | None,
    options: MiningOptions,
    sentences: int,
    show_progress: bool | None,
) -> Rows:
    """The unit rows of a side, given or embedded; `sentences`: of both sides."""
    path = os.path.join(folder, f"{side.name}.npy")
    if of.embeddings is None:
        dim = dim_of(side, encode)
        dtype = stored_choice(folder, "dtype", lambda: stored_dtype(sentences, dim, options))
        return embed_side(side, encode, path, dtype, show_progress)
    rows = given_rows(of.embeddings, side, of.place)
    name = f"embeddings of {of.place}"
    if encode is not None:
        check_given(rows, side, name, encode)
    return unit_rows(rows, path, name)


def stored_dtype(sentences: int, dim: int, options: MiningOptions) -> str:
    """The dtype that embeddings of both sides are stored in."""
    if options.dtype != "auto":
        return options.dtype
    return "float32" if sentences * dim * 4 <= _SMALL * options.memory_bytes else "float16"


def _searched(
    sources: Rows, targets: Rows, folder: str, options: MiningOptions, show_progress: bool | None
) -> Neighbours:
    path = os.path.join(folder, "neighbours.npz")
    if not os.path.exists(path):
        state, dim = os.path.join(folder, "search"), sources.shape[1]
        # A search that resumes in another precision would not know its bounds.
        precision = stored_choice(
            folder, "search_precision", lambda: fastest_precision(dim, options.search_precision)
        )
        options = dataclasses.replace(options, search_precision=precision)
        found = search(sources, targets, options, show_progress, state)
        with atomic_file(path, "wb") as file:
            np.savez(file, **vars(found))
        return found
    with np.load(path) as arrays:
        return Neighbours(**arrays)
