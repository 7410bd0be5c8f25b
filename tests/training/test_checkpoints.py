"""What checkpoints hold: settled weights, also before the last step."""

import pytest
import tensorflow as tf

from labse_tf.optimizers.adamw import AdamW
from labse_tf.training.checkpoints import TrainingState
from tests.training import one_weight


def test_every_checkpoint_is_settled(vocab_file, tmp_path):
    """By hand, of rows that occur in all of 4 steps, in the first one, and never."""
    model = one_weight.make_model(vocab_file)
    table = model.encoder.add_weight("table", [3, 1], initializer="ones")
    name = table.name.removesuffix(":0")
    optimizer = AdamW(0.1, weight_decay=0.1, ema_decay=0.5, tables=[name])
    optimizer.build([table])
    state = TrainingState(tmp_path, model, optimizer, {}, keep=3)
    for rows in ([0, 1], [0], [0], [0]):
        gradient = tf.IndexedSlices(tf.ones([len(rows), 1]), rows, tf.constant([3, 1]))
        optimizer.apply_gradients([(gradient, table)])
    reader = tf.train.load_checkpoint(state.save())
    (written,) = (
        reader.get_tensor(key)[:, 0]
        for key in reader.get_variable_to_shape_map()
        if key.startswith("encoder/") and "table" in key and "SLOT" not in key
    )
    (average,) = (
        reader.get_tensor(key)[:, 0]
        for key in reader.get_variable_to_shape_map()
        if key.startswith("averages/")
    )
    # A step takes 0.99 of a row, and 0.1 from it if its gradient is 1.
    first = 0.99 - 0.1
    assert written[1] == pytest.approx(first * 0.99**3, rel=1e-5)
    assert written[2] == pytest.approx(0.99**4, rel=1e-5)
    assert average[1] == pytest.approx((1 + first) / 2 / 8 + first * 7 / 8, rel=1e-5)
    assert average[2] == 1
