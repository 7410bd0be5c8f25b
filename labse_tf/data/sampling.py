"""Sampling over datasets that can be resumed: what is drawn is a function of the place alone."""

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
) -> tf.data.Dataset:
    """The pipeline's part of each dataset, shuffled, repeated; one drawn for every next element.

    Like `tf.data.Dataset.sample_from_datasets`, but what is drawn in a window is a function of the
    window's number. So that skipping means counting draws, not reading all that was read.
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
        bounds = np.cumsum(weights)[:-1] / np.sum(weights)
        key = key_of(seed, "choice of files", context.input_pipeline_id)

        def draw(number):
            uniform = tf.random.stateless_uniform(
                [window_size], [key, number], dtype=tf.float64, alg="philox"
            )
            return tf.searchsorted(bounds, uniform, side="right", out_type=tf.int64)

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


def _endless(
    rows: tf.data.Dataset, count: int, buffer: int, key: int, drawn: int
) -> tf.data.Dataset:
    """Epoch after epoch of `rows`, each in an order of its own, from element `drawn` on."""

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
