"""Files of a run that are changed while it trains: it ends, and saves nothing of it."""

import gzip
import os

import pytest
import tensorflow as tf
import tf_keras

from labse_tf.training.data_files import DataFiles
from labse_tf.training.run_directory import settings_of
from tests.training import one_weight
from tests.training.runs import checkpoints


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.tsv.gz"
    path.write_bytes(gzip.compress(b"a\tb\n" * 1000))
    return path


def cut_short(path):
    os.truncate(path, 20)


def replace(path):
    """By other pairs, in a file of the same size and time."""
    status = os.stat(path)
    (path.parent / "new").write_bytes(path.read_bytes()[:-8] + bytes(8))
    os.utime(path.parent / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
    os.replace(path.parent / "new", path)


def in_step(number, change, path):
    """A callback that changes the file."""

    class Change(tf_keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch + 1 == number:
                change(path)

    return lambda *_: Change()


@pytest.mark.parametrize("change", [cut_short, replace, os.remove])
def test_a_file_that_changes(change, path, vocab_file, tmp_path):
    before = path.read_bytes()
    callback = in_step(6, change, path)
    with pytest.raises(ValueError, match=rf"{path}.* (content|cannot be read).*start again"):
        one_weight.run(tmp_path / "run", vocab_file, callback=callback, pairs=[path])
    assert checkpoints(tmp_path / "run") == [0, 4]
    # With the file of the start it goes on.
    path.write_bytes(before)
    one_weight.run(tmp_path / "run", vocab_file, pairs=[path])
    assert checkpoints(tmp_path / "run") == [4, 8, 12]


def test_a_copy_of_the_same(path, vocab_file, tmp_path):
    def touch(path):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)

    one_weight.run(tmp_path / "run", vocab_file, callback=in_step(6, touch, path), pairs=[path])


def test_what_tensorflow_says_of_it(path):
    files = DataFiles(settings_of(one_weight.CONFIG, pairs=[path]), "pairs")
    error = tf.errors.DataLossError(None, None, "inflate() failed")
    with pytest.raises(tf.errors.DataLossError), files.explaining():
        raise error
    cut_short(path)
    with pytest.raises(ValueError, match="another content") as explained, files.explaining():
        raise error
    assert explained.value.__cause__ is error
