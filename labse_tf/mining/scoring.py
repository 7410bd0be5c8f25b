"""score_pairs: the margins of pairs that are given."""

from __future__ import annotations

import dataclasses
import itertools
import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from labse_tf.files.lines import read_lines
from labse_tf.files.tsv import to_field
from labse_tf.mining.mine_files import check_inputs
from labse_tf.mining.models import Model, encoder_of
from labse_tf.mining.options import MiningOptions
from labse_tf.mining.output import check_path, text_files
from labse_tf.mining.pairs import Pairs, cosines_of
from labse_tf.mining.run import Input, read_sides, rows_of
from labse_tf.mining.searching import search
from labse_tf.mining.sides import Side
from labse_tf.preparation.raw_pairs import read_raw_pairs
from labse_tf.search.margins import margin_scores, neighbour_means


def score_pairs(
    path: str | os.PathLike,
    output: str | os.PathLike,
    model: Model = None,
    options: MiningOptions | None = None,
    *,
    background: Sequence[str | os.PathLike] | None = None,
    errors: str = "strict",
    overwrite: bool = False,
    load_options: dict[str, Any] | None = None,
    encode_options: dict[str, Any] | None = None,
    show_progress: bool | None = None,
) -> int:
    """Writes given pairs with their scores, `score TAB source TAB target`, in their order.

    The score is the margin that `labse mine` gives: a sentence's neighbours are searched for among
    the other sides of all the pairs, and in the background if there is one. Of the options those of
    margins, of the search, and `min_score` and `max_score` count.

    Args:
        path: File of pairs (`labse_tf.data.pair_files`). Further columns are dropped.
        output: TSV, gzip if its name ends in `.gz`.
        model: as of `labse_tf.mine`.
        options: see above.
        background: source and target file of further sentences.
        errors: of invalid UTF-8 in the background.
        overwrite: whether to replace the output.
        load_options: of `labse_tf.load`.
        encode_options: of `Embedder.encode`.
        show_progress: whether to draw progress bars on stderr; None: if it is a terminal.

    Returns:
        How many pairs were written.

    Raises:
        FileExistsError: the output exists, and `overwrite` is False.
        FileNotFoundError: a file does not exist.
        OSError: the output cannot be written.
        ValueError: a pair has an empty side (`file:line:`), there are fewer sentences than k, or
            what `labse_tf.mine` refuses.
    """
    options = dataclasses.replace(
        options or MiningOptions(),
        alternatives=False, deduplicate="equal", min_length=1, max_length=0,
        source_language="", target_language="",
    )  # fmt: skip
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"There is no file of pairs {path!r}.")
    if background is not None:
        check_inputs(list(background), [])
    check_path(output, overwrite)
    encode, _ = encoder_of(model, load_options, **(encode_options or {}))
    with tempfile.TemporaryDirectory() as folder:
        inputs = [
            Input(_lines(path, side, background, errors), path, may_have_ids=False)
            for side in (0, 1)
        ]
        sides = read_sides(*inputs, folder, options)
        count = sum(map(len, sides))
        rows = [
            rows_of(side, of, folder, encode, options, count, show_progress)
            for side, of in zip(sides, inputs)
        ]
        means = neighbour_means(search(*rows, options, show_progress))
        lines = sum(len(block) for block in read_raw_pairs(path))
        pairs = np.stack([_rows_of_lines(side, lines) for side in sides], axis=1)
        cosines = cosines_of(Pairs(pairs, np.empty(len(pairs), np.float32)), *rows)
        around = (mean[of] for mean, of in zip(means, pairs.T))
        scores = margin_scores(cosines, *around, options.margin)
        check_path(output, overwrite)  # Something may have been written there meanwhile.
        return _write(path, output, scores, options)


def _lines(
    path: str, side: int, background: Sequence[str | os.PathLike] | None, errors: str
) -> Iterator[str]:
    """A side of the pairs, then the sentences of the background."""
    number = 0
    for block in read_raw_pairs(path):
        for pair in block:
            number += 1
            if not pair[side].strip():
                raise ValueError(
                    f"{path}:{number}: the {('source', 'target')[side]} is empty: there is nothing "
                    "to score. Remove the line."
                )
            yield pair[side]
    if background is not None:
        for line in read_lines(background[side], errors):
            _, tab, sentence = line.partition("\t")
            yield sentence if tab else line


def _rows_of_lines(side: Side, count: int) -> np.ndarray:
    """The row of each of the first lines, int64 [count]."""
    rows = np.empty(side.lines, np.int64)
    rows[side.copies - 1] = np.repeat(np.arange(len(side)), np.diff(side.copy_starts))
    return rows[:count]


def _write(path: str, output: str | os.PathLike, scores: np.ndarray, options: MiningOptions) -> int:
    kept = (scores >= options.min_score) & (scores <= options.max_score)
    pairs = itertools.chain.from_iterable(read_raw_pairs(path))
    with text_files(output) as (file,):
        for pair, score, keep in zip(pairs, scores.tolist(), kept.tolist()):
            if keep:
                # The strings of a TFRecord may hold tabs.
                file.write("\t".join([f"{score:.6f}", *map(to_field, pair)]).encode() + b"\n")
    return int(np.count_nonzero(kept))
