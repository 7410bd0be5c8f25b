"""What a run has written for TensorBoard."""

import tensorflow as tf


def read_logs(workdir):
    """The series of a run, by name: from steps to values."""
    series = {}
    for path in sorted((workdir / "logs").iterdir()):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                figure = float(tf.make_ndarray(value.tensor))
                series.setdefault(value.tag, {})[event.step] = figure
    return series
