"""How many sentences are longer than a sequence of tokens, and so are cut."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence

import tensorflow as tf

from labse_tf.tokenization.preprocessing import Preprocessor

CUT_SENTENCES, CUT_PAIRS = "cut_sentences", "cut_pairs"


def warn_of_cut_sentences(
    scans: Sequence[tuple[int, list[tuple[str, ...]]]], preprocessor: Preprocessor, joined: bool
) -> float:
    """Estimates the share of what is longer than `seq_length`; warns if there is any.

    Args:
        scans: of each file the number of its pairs and a sample of them.
        preprocessor: cuts.
        joined: whether the two sides of a pair are one sequence, with three special tokens.

    Returns:
        The share of the sentences; with `joined` that of the pairs.
    """
    cut = seen = 0
    for count, sample in scans:
        texts = tf.constant(list(itertools.chain.from_iterable(sample)))
        if not joined:
            texts = preprocessor.with_default_prompt(texts)
        lengths = preprocessor.word_pieces(texts).row_lengths() + 2
        if joined:
            lengths = tf.reduce_sum(tf.reshape(lengths, [len(sample), -1]), axis=1) - 1
        share = tf.reduce_mean(tf.cast(lengths > preprocessor.seq_length, tf.float64))
        cut += count * float(share)
        seen += len(lengths)
    share = cut / sum(count for count, _ in scans)
    if share:
        what = "pairs" if joined else "sentences"
        warnings.warn(
            f"About {share:.2%} of the {what} (of a sample of {seen:,}) are longer than "
            f"`seq_length` (={preprocessor.seq_length}) tokens{' together' * joined} and are cut.",
            stacklevel=3,
        )
    return share
