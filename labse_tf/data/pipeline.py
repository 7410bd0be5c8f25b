"""What the input pipelines of pairs and of masked text have in common."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence

import tensorflow as tf

from labse_tf.data.pair_files import (
    NEGATIVES_FEATURE,
    SOURCE_FEATURE,
    TARGET_FEATURE,
    pair_format,
)

WIDTH_MULTIPLE = 8


def check_least(least: float, **values: float) -> None:
    """Raises ValueError, which names the argument, for one that is below `least` or not finite."""
    for name, value in values.items():
        if not least <= value < math.inf:
            raise ValueError(f"`{name}` (={value}) must be at least {least}, and finite.")


def divide_batch(batch_size: int, context: tf.distribute.InputContext) -> tuple[int, int]:
    """Replicas of this pipeline, and rows of a replica's batch.

    Raises:
        ValueError: the global batch cannot be divided among the replicas.
    """
    if batch_size % context.num_replicas_in_sync:
        raise ValueError(
            f"`batch_size` (={batch_size}), the global batch, must be divisible by the number of "
            f"replicas (={context.num_replicas_in_sync})."
        )
    local_replicas = context.num_replicas_in_sync // context.num_input_pipelines
    return local_replicas, batch_size // context.num_replicas_in_sync


def read_rows(files: Sequence[str]) -> tf.data.Dataset:
    """Return the lines or records of files of translation pairs, in their order."""
    datasets = []
    for form, group in itertools.groupby(files, pair_format):
        read = tf.data.TextLineDataset if form.container == "tsv" else tf.data.TFRecordDataset
        datasets.append(read(list(group), form.compression))
    return functools.reduce(tf.data.Dataset.concatenate, datasets)


def split_rows(rows: tf.Tensor, container: str, hard_negatives: int = 0) -> list[tf.Tensor]:
    """Lines or records, string [batch] -> sources, targets and negatives, string [batch] each."""
    if container == "tsv":
        columns = tf.strings.split(rows, "\t", maxsplit=2 + hard_negatives)
        first = columns.row_starts()
        return [tf.gather(columns.values, first + side) for side in range(2 + hard_negatives)]
    features = {
        name: tf.io.FixedLenFeature([1], tf.string) for name in (SOURCE_FEATURE, TARGET_FEATURE)
    }
    if hard_negatives:
        features[NEGATIVES_FEATURE] = tf.io.FixedLenFeature([hard_negatives], tf.string)
    example = tf.io.parse_example(rows, features)
    return tf.unstack(tf.concat([example[name] for name in features], axis=1), axis=1)


def in_order(dataset: tf.data.Dataset, input_context: tf.distribute.InputContext | None):
    """The dataset, deterministic; sharded by element unless it is one worker's own already."""
    options = tf.data.Options()
    options.deterministic = True
    policy = tf.data.experimental.AutoShardPolicy
    options.experimental_distribute.auto_shard_policy = (
        policy.DATA if input_context is None else policy.OFF
    )
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)
