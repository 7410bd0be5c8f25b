"""plan: how many sentences, bytes and hours a run takes, without the run."""

from __future__ import annotations

import os
import tempfile
import time
import warnings
from typing import Any

import numpy as np

from labse_tf.files.lines import read_lines
from labse_tf.mining.embedding import Encode
from labse_tf.mining.mine_files import check_inputs
from labse_tf.mining.models import Model, encoder_of
from labse_tf.mining.options import MiningOptions
from labse_tf.mining.run import Input, read_sides, stored_dtype
from labse_tf.mining.searching import (
    check_memory,
    fastest_precision,
    how_to_search,
    lists_of,
    targets_at_once,
)
from labse_tf.mining.sides import Side, check_filters
from labse_tf.search.both_directions import nearest_both_ways

_EMBEDDED = 4096  # sentences that are timed, of both sides
_SOURCES, _TARGETS = 2048, 32_768  # of the search that is timed
# Of the products in inverted lists, since there are more of them in the larger lists.
_UNEVEN = 1.6
_ITEM_BYTES = {"float32": 4, "float16": 2, "int8": 1}


def plan(
    source: str | os.PathLike,
    target: str | os.PathLike,
    model: Model = None,
    options: MiningOptions | None = None,
    *,
    errors: str = "strict",
    load_options: dict[str, Any] | None = None,
    encode_options: dict[str, Any] | None = None,
) -> list[str]:
    """What `mine_files` would do, and how long; a few thousand sentences are embedded to time it.

    Args: as of `labse_tf.mining.mine_files.mine_files`.

    Returns:
        Lines of text.

    Raises:
        OSError, ValueError: as `mine_files`, for what it would refuse.
    """
    options = options or MiningOptions()
    check_filters(options)
    check_inputs([source, target], [])
    encode, _ = encoder_of(model, load_options, **(encode_options or {}))
    with tempfile.TemporaryDirectory() as folder:
        inputs = [Input(read_lines(path, errors), os.fspath(path)) for path in (source, target)]
        sides = read_sides(*inputs, folder, options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of sentences that are cut
            rate, dim = _embedding(sides, encode)
    counts = [len(side) for side in sides]
    total = sum(counts)
    dtype = stored_dtype(total, dim, options)
    check_memory(*counts, dim, options)
    how = how_to_search(*counts, dim, options)
    precision = fastest_precision(dim, options.search_precision)
    products = counts[0] * counts[1]
    if how == "exact":
        at_once = targets_at_once(*counts, dim, options)
        said = f"exact, {products:,} products in {precision}, {at_once:,} targets at once"
    else:
        lists = lists_of(options)
        number = lists.count(*counts)
        share = min(1.0, _UNEVEN * lists.source_lists * lists.target_lists / number)
        products *= share
        said = (
            f"{number:,} inverted lists, sources in {lists.source_lists} and targets in "
            f"{lists.target_lists}: about {share:.1%} of all products, in {precision}"
        )
    embedding, searching = total / rate, products / _products_a_second(dim, precision)
    bytes_ = total * (dim * _ITEM_BYTES[dtype] + (4 if dtype == "int8" else 0))
    return [
        *(f"{side.name}s: {len(side):,} sentences of {side.lines:,} lines" for side in sides),
        f"embeddings: {bytes_:,} bytes ({dtype}, {dim} numbers each), kept on disk meanwhile",
        f"search: {said}",
        f"embedding: {_hours(embedding)} at {rate:,.0f} sentences a second",
        f"searching: about {_hours(searching)}",
        f"together: about {_hours(embedding + searching)} on this machine",
    ]


def _embedding(sides: tuple[Side, Side], encode: Encode) -> tuple[float, int]:
    """Sentences a second, and the length of a row."""
    some = []
    for side in sides:
        count = min(len(side), _EMBEDDED // 2)
        some += side.read(np.unique(np.linspace(0, len(side) - 1, count).astype(np.int64)))[1]
    encode(some[:64])  # what is done once
    begin = time.perf_counter()
    rows = encode(some)
    return len(some) / (time.perf_counter() - begin), rows.shape[1]


def _products_a_second(dim: int, precision: str) -> float:
    """Of an exact search, of rows drawn at random."""
    rng = np.random.default_rng(0)
    sides = [rng.normal(size=[n, dim]).astype(np.float32) for n in (_SOURCES, _TARGETS)]
    sides = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides]
    nearest_both_ways(sides[0][:512], sides[1], 1, precision=precision)
    begin = time.perf_counter()
    nearest_both_ways(*sides, 4, precision=precision)
    return _SOURCES * _TARGETS / (time.perf_counter() - begin)


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:,.2f} hours" if seconds >= 360 else f"{seconds / 60:,.1f} minutes"
