"""Sampling over datasets that resumes anywhere: what is drawn is a function of its position."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def sample_rows(
    datasets: list[tf.data.Dataset],
    counts: list[int],
    context: tf.distribute.InputContext,
    *,
    exponent: float,
    seed: int,
    shuffle_buffer: int,
    window_size: int,
    windows_skipped: int,
    batches: int | None = None,
) -> tf.data.Dataset:
    """An endless dataset, each element of which is the next one of a dataset drawn at random.

    Like `tf.data.Dataset.sample_from_datasets` over datasets that are shuffled anew every epoch,
    but it resumes without reading what was consumed: which datasets a window of elements is drawn
    from is a function of the seed and the window's number, the order of an epoch one of the seed
    and the epoch's number.

    Example: datasets of 4 and 2 rows, exponent 1, windows of 3 elements, of which 2 are skipped.

        window 0 draws the datasets    0 0 1
        window 1                       0 1 0    counted, not read: dataset 0 four times, 1 twice
        dataset 0 goes on at           element 4 = 1 * 4 + 0: the first of its epoch 1
        dataset 1                      element 2 = 1 * 2 + 0: likewise
        the first element              of whichever dataset window 2 draws first

    Args:
        datasets: of rows.
        counts: how many rows each has.
        context: of the input pipeline, which reads every `num_input_pipelines`-th row.
        exponent: a dataset of n rows is drawn in proportion to n**exponent.
        seed: of all that is random.
        shuffle_buffer: rows held in memory, divided among the datasets as the draws are.
        window_size: elements drawn together.
        windows_skipped: windows that were consumed already.
        batches: that a window is divided into, no row coming twice in one of them: a dataset that
            would be drawn from too often for that is drawn from less. None: rows may meet.
    """
    weights = np.exp(exponent * (np.log(counts) - np.log(max(counts))))
    weights /= weights.sum()
    pipelines, streams = context.num_input_pipelines, []
    for index, (dataset, count) in enumerate(zip(datasets, counts, strict=True)):
        # Row j of this dataset is row (before + j) of all: so the pipelines' parts differ by one
        # row at most, however many small files there are.
        shard = (context.input_pipeline_id - sum(counts[:index])) % pipelines
        part = len(range(shard, count, pipelines))
        if part:
            buffer = min(part, max(1, round(shuffle_buffer * weights[index])))
            key = key_of(seed, "rows", index)
            streams.append((dataset.shard(pipelines, shard), part, buffer, key, weights[index]))
    rows, parts, buffers, keys, weights = zip(*streams, strict=True)
    drawn = [windows_skipped * window_size]
    if len(streams) > 1:
        shares = np.array(weights) / np.sum(weights)
        if batches is not None:
            # A window may begin within an epoch: with these its rows are of `batches` epochs at
            # most, so that there is a batch for each repetition.
            shares = cap_shares(shares, max(1, batches - 1) * np.array(parts) / window_size)
        bounds = np.cumsum(shares)[:-1]
        key = key_of(seed, "choice of files", context.input_pipeline_id)

        def draw(number):
            # Not independent draws: each window has as much of a dataset as its share, to a row.
            uniform = tf.random.stateless_uniform(
                [window_size + 1], [key, number], dtype=tf.float64, alg="philox"
            )
            points = (tf.range(window_size, dtype=tf.float64) + uniform[0]) / window_size
            chosen = tf.searchsorted(bounds, points, side="right", out_type=tf.int64)
            return tf.gather(chosen, tf.argsort(uniform[1:]))

        choices = tf.data.Dataset.counter().map(draw)
        drawn = choices.take(windows_skipped).reduce(
            np.zeros(len(streams), np.int64),
            lambda counts, choice: (
                counts + tf.math.bincount(choice, minlength=len(streams), dtype=tf.int64)
            ),
        )
    endless = [
        _endless(*stream)
        for stream in zip(rows, parts, buffers, keys, np.array(drawn), strict=True)
    ]
    if len(endless) == 1:
        return endless[0]
    return tf.data.Dataset.choose_from_datasets(endless, choices.skip(windows_skipped).unbatch())


def cap_shares(shares: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Shares of which none is above its `most`, the others larger in proportion.

    Args:
        shares: their sum is 1.
        most: their sum is at least 1.
    """
    capped = np.zeros(len(shares), bool)
    while (over := ~capped & (shares > most)).any():
        capped |= over
        left = max(0.0, 1 - most[capped].sum())
        rest = shares[~capped]
        shares = np.where(capped, most, shares)
        shares[~capped] = rest * (left / max(rest.sum(), 1e-300))
    return shares


def _endless(
    rows: tf.data.Dataset, count: int, buffer: int, key: int, drawn: int
) -> tf.data.Dataset:
    """Epochs of `rows`, each in another order, without their first `drawn` elements.

    An epoch of another `count`, as of a file that was cut short meanwhile, is an error: without
    it, one of no rows would be repeated for ever.
    """
    rows = rows.apply(tf.data.experimental.assert_cardinality(count))

    def epoch(number):
        # tf.data mixes the global seed into every seed; here, in this function's graph, it is 1.
        tf.compat.v1.set_random_seed(1)
        return rows.shuffle(buffer, seed=key + number, reshuffle_each_iteration=False)

    first, within = divmod(int(drawn), count)
    return tf.data.Dataset.counter(first).flat_map(epoch).skip(within)


def key_of(seed: int, purpose: str, index: int = 0) -> int:
    """A seed of its own for each purpose, the same in every process."""
    entropy = [seed, *purpose.encode(), index]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)
