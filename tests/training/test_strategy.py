"""Which strategy a program runs under, and which one a model was made in."""

import pytest
import tensorflow as tf

from labse_tf.training.strategy import choose_strategy, strategy_of
from tests.fresh import fresh


def test_one_replica():
    assert choose_strategy() is tf.distribute.get_strategy()
    with pytest.raises(ValueError, match=r"`cpu_replicas` \(=0\) must be at least 1"):
        choose_strategy(0)


def test_devices_that_there_are_already():
    """As in a notebook, where TensorFlow has begun when a cell runs a second time."""
    tf.constant(0)
    strategy = choose_strategy(2)
    assert strategy.num_replicas_in_sync == 2 and choose_strategy(2) is strategy
    with pytest.raises(RuntimeError, match=r"`cpu_replicas` \(=5\) .* initialised .* with 4\."):
        choose_strategy(5)


def test_a_process_that_has_not_begun():
    process = fresh(
        "-c",
        """
from labse_tf.training.strategy import choose_strategy
print(choose_strategy(3).num_replicas_in_sync, choose_strategy(2).num_replicas_in_sync)
choose_strategy(4)
""",
    )
    assert process.stdout.split() == ["3", "2"], process.stderr[-2000:]
    last = process.stderr.strip().splitlines()[-1]
    assert last.startswith("RuntimeError: `cpu_replicas` (=4) needs as many logical CPU devices")
    assert "with 3. Choose the strategy first" in last


def test_of_a_model(new_model, mirrored):
    assert strategy_of(new_model()) is tf.distribute.get_strategy()
    with mirrored(2).scope():
        model = new_model()
    assert strategy_of(model) is mirrored(2)
