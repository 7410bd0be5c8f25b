"""What the tests of runs share: pairs, models to train, and one finished run."""

import pytest

from labse_tf.training.fine_tuning import fine_tune
from tests.training import pretraining_runs
from tests.training.runs import CONFIG, make_model, write_pairs


@pytest.fixture(scope="session")
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("pairs") / "a-b.tsv")


@pytest.fixture(scope="session")
def new_model(vocab_file, vocab_size):
    return lambda num_layers=1: make_model(vocab_file, vocab_size, num_layers)


@pytest.fixture(scope="session")
def finished(new_model, pairs, tmp_path_factory):
    """A run of CONFIG, not to be changed, with `pairs` held out; and the model that it gave."""
    workdir = tmp_path_factory.mktemp("finished") / "run"
    return workdir, fine_tune(new_model(), [pairs], CONFIG, workdir, held_out=[pairs])


@pytest.fixture(scope="session")
def word_file(tmp_path_factory):
    """The vocabulary of `pretraining_runs`."""
    path = tmp_path_factory.mktemp("words") / "vocab.txt"
    return pretraining_runs.write_vocabulary(path)
