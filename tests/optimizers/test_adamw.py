"""AdamW with row-sparse updates: against Keras' dense one, and by hand for what comes and goes."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from labse_tf.optimizers.adamw import AdamW
from labse_tf.optimizers.gradients import clip_by_global_norm, distinct_rows, sum_over_replicas
from labse_tf.optimizers.schedules import WarmupLinearDecay

ROWS, DIM, STEPS, DECAY = 7, 3, 6, 0.1


def table(name="table"):
    values = np.random.default_rng(0).normal(size=[ROWS, DIM])
    return tf.Variable(values, dtype=tf.float32, name=name)


def gradients(rows_of_step):
    """For each step its rows, some of them twice, and a gradient for each."""
    rng = np.random.default_rng(1)
    for rows in rows_of_step:
        rows = np.array([*rows, *rows[:2]], np.int32)
        yield rows, rng.normal(size=[len(rows), DIM]).astype(np.float32)


def slices(rows, values):
    values, rows = tf.convert_to_tensor(values), tf.convert_to_tensor(rows)
    return tf.IndexedSlices(values, rows, tf.constant([ROWS, DIM]))


def summed(rows, values):
    dense = np.zeros([ROWS, DIM], np.float32)
    np.add.at(dense, rows, values)
    return dense


def test_every_row_in_every_step_is_dense_adamw():
    rate = WarmupLinearDecay(0.05, 2, STEPS)
    ours, theirs = table(), table()
    sparse = AdamW(rate, DECAY, tables=["table"])
    dense = tf_keras.optimizers.AdamW(rate, DECAY, epsilon=1e-6)
    orders = [np.random.default_rng(i).permutation(ROWS) for i in range(STEPS)]
    for rows, values in gradients(orders):
        clipped, _ = clip_by_global_norm(sum_over_replicas([slices(rows, values)]), 1.5)
        sparse.apply_gradients([(clipped[0], ours)])
        expected, _ = tf.clip_by_global_norm([summed(rows, values)], 1.5)
        dense.apply_gradients([(expected[0], theirs)])
    before = ours.numpy()
    np.testing.assert_allclose(before, theirs, atol=1e-6)
    sparse.settle()  # nothing is pending
    np.testing.assert_array_equal(ours, before)


@pytest.mark.parametrize("graph", [False, True])
def test_rows_that_come_and_go(graph):
    """Each row's own AdamW in NumPy; decay and average of every step, whether it occurs or not."""
    rate = WarmupLinearDecay(0.05, 2, STEPS)
    ours = table()
    optimizer = AdamW(rate, DECAY, ema_decay=0.8, tables=["table"])
    optimizer.build([ours])
    value = ours.numpy().astype(np.float64)
    first, second, history = np.zeros_like(value), np.zeros_like(value), []
    count = np.zeros(ROWS, int)
    waiting = np.ones(ROWS)  # decay of the steps since a row occurred
    steps = [[0, 1, 2], [3, 2], [0, 1], [5, 2], [0, 3], [2, 1]]  # 4 and 6 never, 5 once

    def apply(rows, values):
        optimizer.apply_gradients(zip(sum_over_replicas([slices(rows, values)]), [ours]))

    apply = tf.function(apply, reduce_retracing=True) if graph else apply
    for step, (rows, values) in enumerate(gradients(steps)):
        apply(tf.constant(rows), tf.constant(values)) if graph else apply(rows, values)
        r, g = float(rate(step)), summed(rows, values)
        waiting *= 1 - r * DECAY
        for row in sorted(set(rows)):
            count[row] += 1
            first[row] = 0.9 * first[row] + 0.1 * g[row]
            second[row] = 0.999 * second[row] + 0.001 * g[row] ** 2
            own = r * np.sqrt(1 - 0.999 ** count[row]) / (1 - 0.9 ** count[row])
            value[row] = value[row] * waiting[row]
            value[row] -= own * first[row] / (np.sqrt(second[row]) + 1e-6)
            waiting[row] = 1
        history.append(value.copy())
        np.testing.assert_allclose(ours, value, atol=1e-5)
    optimizer.settle()
    np.testing.assert_allclose(ours, value * waiting[:, None], atol=1e-5)
    expected = average(history, 0.8)
    np.testing.assert_allclose(optimizer.averages["table"], expected, atol=1e-5)


def average(values, decay):
    """Returns the mean of the values after each step, each of which counts `decay` of the next."""
    return np.average(values, axis=0, weights=[decay**-i for i in range(len(values))])


def test_the_two_clocks_of_a_row():
    """The example of AdamW: row 0 occurs in steps 1 and 4 of 6, and row 1 in the others."""
    ours = tf.Variable([[2.0], [1.0]], name="table")
    optimizer = AdamW(0.1, weight_decay=0.1, ema_decay=0.9, tables=["table"])
    one = tf.constant([2, 1])
    expected = []
    for step in range(1, 7):
        row = int(step not in (1, 4))
        gradient = tf.IndexedSlices([[1.0]], [row], one)
        optimizer.apply_gradients([(gradient, ours)])
        expected.append(ours.numpy()[0, 0])
    # A constant gradient of 1 has bias-corrected moments of 1 by the row's own clock, whatever
    # the run's: every step is 0.1, but for an epsilon of 1e-6 beside the uncorrected root.
    first = 2 * 0.99 - 0.1
    fourth = first * 0.99**3 - 0.1
    np.testing.assert_allclose(expected, [first] * 3 + [fourth] * 3, rtol=1e-5)
    values = [first] * 3 + [fourth]
    found = optimizer.averages["table"]
    np.testing.assert_allclose(found[0, 0], average(values, 0.9), rtol=1e-5)
    optimizer.settle()
    np.testing.assert_allclose(ours[0, 0], fourth * 0.99**2, rtol=1e-5)
    values += [fourth] * 2
    np.testing.assert_allclose(found[0, 0], average(values, 0.9), rtol=1e-5)


@pytest.mark.parametrize("tables", [(), ("kernel",)])
def test_first_weights_have_no_share_in_an_average(tables):
    """After 30 steps with a decay of 0.999, 97% of it would be the weights of the start."""
    weight = tf.Variable([[100.0], [-200.0]], name="kernel")
    optimizer = AdamW(0.1, ema_decay=0.999, tables=tables)
    optimizer.build([weight])
    np.testing.assert_array_equal(optimizer.averages["kernel"], weight)
    optimizer.settle()
    np.testing.assert_array_equal(optimizer.averages["kernel"], weight)
    weight.assign([[1.0], [-2.0]])
    values = []
    for _ in range(30):
        gradient = tf.constant([[0.5], [1.0]])
        gradient = tf.IndexedSlices(gradient, [0, 1], tf.constant([2, 1])) if tables else gradient
        optimizer.apply_gradients([(gradient, weight)])
        values.append(weight.numpy())
    np.testing.assert_allclose(optimizer.averages["kernel"], average(values, 0.999), rtol=1e-4)
    assert np.abs(average(values, 0.999) - weight.numpy()).min() > 0.1


def test_rows_are_summed_before_their_norm_is_taken():
    rows, values = np.array([4, 1, 4, 4], np.int32), np.ones([4, DIM], np.float32)
    once = distinct_rows(slices(rows, values))
    np.testing.assert_array_equal(once.indices, [4, 1])
    np.testing.assert_array_equal(once.values, [[3.0] * DIM, [1.0] * DIM])
    # |g| = sqrt(3 * 9 + 3 * 1), and not sqrt(4 * 3).
    clipped, norm = clip_by_global_norm([once, tf.constant([6.0])], 1.0)
    assert float(norm) == pytest.approx(np.sqrt(30 + 36))
    np.testing.assert_allclose(clipped[0].values[0], 3 / np.sqrt(66), rtol=1e-6)
    np.testing.assert_allclose(clipped[1], 6 / np.sqrt(66), rtol=1e-6)
    (free, _), long = clip_by_global_norm([once, tf.constant([6.0])], 100.0)
    np.testing.assert_array_equal(free.values, once.values)
    assert float(long) == pytest.approx(float(norm))


def test_a_sparse_gradient_of_what_is_no_table():
    ours, theirs = table(), table()
    optimizer, other = AdamW(0.1, DECAY), AdamW(0.1, DECAY)
    for rows, values in gradients([[0, 1], [2, 3]]):
        optimizer.apply_gradients([(slices(rows, values), ours)])
        other.apply_gradients([(tf.constant(summed(rows, values)), theirs)])
    np.testing.assert_allclose(ours, theirs, atol=1e-7)


def test_unknown_tables():
    with pytest.raises(ValueError, match=r"`tables` has \['tabel'\].*\['table'\]"):
        AdamW(0.1, tables=["tabel"]).build([table()])


def test_config_round_trip():
    optimizer = AdamW(0.1, 0.01, 0.9, tables=["table"])
    assert AdamW.from_config(optimizer.get_config()).get_config() == optimizer.get_config()


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_keras_files_hold_the_state(ending, tmp_path):
    """Moments, averages and the clocks of a table's rows: training goes on where it was."""

    def step(model):
        kernel, bias = model.trainable_variables
        rows = tf.IndexedSlices(tf.ones([1, 1]), tf.constant([1]), tf.constant([3, 1]))
        model.optimizer.apply_gradients([(rows, kernel), (tf.ones_like(bias), bias)])

    model = tf_keras.Sequential([tf_keras.Input([3]), tf_keras.layers.Dense(1, name="d")])
    model.compile(AdamW(0.1, 0.01, ema_decay=0.9, tables=["d/kernel"]))
    step(model)
    model.save(tmp_path / f"model.{ending}")
    again = tf_keras.models.load_model(tmp_path / f"model.{ending}")
    for _ in range(2):
        found, expected = ([v.numpy() for v in m.optimizer.variables] for m in (again, model))
        assert len(found) == len(expected) == 1 + 3 + 7
        for ours, theirs in zip([*found, *again.weights], [*expected, *model.weights]):
            np.testing.assert_array_equal(ours, theirs)
        step(model)
        step(again)
    with pytest.raises(ValueError, match=r"has 11 variables, but 1 values .*`build`"):
        again.optimizer.set_weights([1])


def test_a_table_with_a_rate_of_its_own():
    """Adam's first step is rate * g / (|g| + epsilon); decay has the same rate."""
    factor, rate, decay, epsilon = 7.0, 0.01, 0.1, 1e-6 / np.sqrt(1 - 0.999)
    variables = {name: table(name) for name in ("table", "kernel")}
    before = variables["table"].numpy()
    optimizer = AdamW(rate, decay, tables=["table"], table_rate_factor=factor)
    optimizer.build(list(variables.values()))
    gradient = np.random.default_rng(2).normal(size=[ROWS, DIM]).astype(np.float32)
    given = [slices(np.arange(ROWS, dtype=np.int32), gradient), tf.constant(gradient)]
    optimizer.apply_gradients(list(zip(given, variables.values())))
    optimizer.settle()
    for name, own in (("table", factor), ("kernel", 1)):
        expected = before * (1 - rate * own * decay)
        expected -= rate * own * gradient / (np.abs(gradient) + epsilon)
        np.testing.assert_allclose(variables[name], expected, atol=2e-6)
    assert optimizer.get_config()["table_rate_factor"] == factor
