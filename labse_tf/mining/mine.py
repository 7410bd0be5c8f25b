"""mine: pairs of sentences of two texts that are probably translations of each other."""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from labse_tf.files.sentences import in_utf8
from labse_tf.mining.embedding import Encode
from labse_tf.mining.models import Model, encoder_of
from labse_tf.mining.options import MiningOptions
from labse_tf.mining.pairs import texts_of
from labse_tf.mining.run import Input, mine_pairs
from labse_tf.mining.sides import check_filters


class MinedPair(NamedTuple):
    """Two sentences that are probably translations.

    Args:
        score: the margin.
        source: the sentence.
        target: the sentence.
        cosine: of their embeddings.
        source_indices: where the source is in its list, all copies.
        target_indices: where the target is.
    """

    score: float
    source: str
    target: str
    cosine: float
    source_indices: list[int]
    target_indices: list[int]


def mine(
    sources: Iterable[str],
    targets: Iterable[str],
    model: Model = None,
    options: MiningOptions | None = None,
    *,
    source_embeddings: np.ndarray | None = None,
    target_embeddings: np.ndarray | None = None,
    show_progress: bool | None = None,
    **changes: Any,
) -> list[MinedPair]:
    """Finds the pairs of two lists of sentences that are probably translations (`labse mine`).

    Files, and texts that do not fit in memory, are for
    `labse_tf.mining.mine_files.mine_files`.

    Args:
        sources: sentences.
        targets: sentences of the other language.
        model: An `Embedder`, the path of a model, or a function of a list of strings to an array
            [sentences, dim]; None for the model that comes with labse_tf.
        options: what is a pair, and which stay.
        source_embeddings: float32 or float16 [sources, dim], if they are there.
        target_embeddings: float32 or float16 [targets, dim].
        show_progress: whether to draw progress bars on stderr; None: if it is a terminal.
        **changes: of the options, by their names, as `margin="distance"`.

    Returns:
        The pairs by falling score.

    Raises:
        TypeError: a sentence is not a string, or there is no such option.
        ValueError: an option is out of its range; a side is empty, or both are the same; there are
            fewer sentences than k; embeddings are not a finite row a sentence, or not the model's.

    Example:
        >>> labse_tf.mine(["Guten Morgen", "Wie spät ist es?"], ["What time is it?"], model, k=1)
        [MinedPair(score=1.0..., source='Wie spät ist es?', target='What time is it?', ...)]
    """
    options = dataclasses.replace(options or MiningOptions(), **changes)
    check_filters(options)
    # Lists, since an iterator can be read only once.
    texts = [list(map(bytes.decode, in_utf8(side)[0])) for side in (sources, targets)]
    if texts[0] and texts[0] == texts[1]:
        raise ValueError(
            "`sources` and `targets` are the same sentences: there is nothing to mine."
        )
    sides = [
        Input(texts[0], "`sources`", source_embeddings, may_have_ids=False),
        Input(texts[1], "`targets`", target_embeddings, may_have_ids=False),
    ]
    with tempfile.TemporaryDirectory() as folder:
        encode: Encode | None = None
        if source_embeddings is None or target_embeddings is None or model is not None:
            encode = encoder_of(model)[0]
        found = mine_pairs(*sides, folder, encode, options, show_progress)
        texts = itertools.chain.from_iterable(texts_of(found.pairs, found.source, found.target))
        return [
            MinedPair(
                score,
                *text,
                cosine,
                *(
                    [line - 1 for line in side.lines_of(row)]
                    for side, row in zip(found.sides, rows)
                ),
            )
            for score, text, cosine, rows in zip(
                found.pairs.scores.tolist(),
                texts,
                found.cosines.tolist(),
                found.pairs.rows.tolist(),
            )
        ]
