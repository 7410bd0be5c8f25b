"""What checkpoints hold, and what is left of them by a kill or a power failure."""

import os

import pytest
import tensorflow as tf

from labse_tf.optimizers.adamw import AdamW
from labse_tf.training import checkpoints as checkpoints_module
from labse_tf.training.checkpoint_directory import list_checkpoints
from labse_tf.training.checkpoints import TrainingState
from labse_tf.training.preemption import Preempted
from labse_tf.training.progress import unfinished
from labse_tf.training.run_directory import find_checkpoint
from tests.training import one_weight
from tests.training.runs import checkpoints
from tests.training.signals import terminate_in_step


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
    state.save()
    reader = tf.train.load_checkpoint(state.newest())
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
    assert average[1] == pytest.approx(first, rel=1e-5)
    assert average[2] == 1


@pytest.fixture(scope="module")
def whole(vocab_file, tmp_path_factory):
    """The weight of a run that nothing happens to."""
    return one_weight.run(tmp_path_factory.mktemp("whole"), vocab_file)


@pytest.fixture
def interrupted(vocab_file, tmp_path):
    """The directory of a run with checkpoints of steps 0, 4, 6."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Preempted):
        terminate_in_step(patch, 6)
        one_weight.run(tmp_path, vocab_file)
    assert checkpoints(tmp_path) == [0, 4, 6]
    return tmp_path


def test_leftovers_of_killed_saves(interrupted, whole, vocab_file):
    """Those of this version, of earlier ones, and of the best encoder; at the start of a run."""
    folder = interrupted / "checkpoints"
    leftovers = [
        folder / "ckpt-8_temp" / "part-00000-of-00001.data-00000-of-00001",
        folder / ".checkpoint.0123abcd.unfinished" / "ckpt-8.index",
        folder / "ckpt-8.data-00000-of-00001",
        folder / "ckpt-6_temp" / "part-00000-of-00001.index",
        interrupted / ".best.0123abcd.unfinished" / "encoder.index",
    ]
    for path in leftovers:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Preempted):
        terminate_in_step(patch, 1)
        one_weight.run(interrupted, vocab_file)
    assert sorted(os.listdir(folder)) == [
        "checkpoint",
        *(f"ckpt-{s}.{end}" for s in (4, 6, 7) for end in ("data-00000-of-00001", "index")),
    ]
    assert not (interrupted / ".best.0123abcd.unfinished").exists()
    assert one_weight.run(interrupted, vocab_file) == whole


@pytest.mark.parametrize("damage", ["data", "data is cut", "index", "index is cut", "no data"])
def test_an_unreadable_checkpoint(damage, interrupted, whole, vocab_file, caplog):
    """The run continues after the one before, and the other one does not count any more."""
    kind = damage.split()[0] if damage != "no data" else "data"
    (path,) = (interrupted / "checkpoints").glob(f"ckpt-6.{kind}*")
    content = path.read_bytes()
    if damage == "no data":
        path.unlink()
    elif "cut" in damage:
        path.write_bytes(content[: len(content) // 3])
    else:
        path.write_bytes(content[: len(content) // 2].ljust(len(content), b"\0"))
    assert one_weight.run(interrupted, vocab_file) == whole
    ours = [record for record in caplog.records if record.name == checkpoints_module.__name__]
    (warning,) = (record.getMessage() for record in ours)
    assert "ckpt-6' cannot be read" in warning and "ckpt-4', and the" in warning
    assert list(list_checkpoints(str(interrupted / "checkpoints"))) == [4, 8, 12]
    assert (interrupted / "checkpoints" / "unreadable-ckpt-6.index").exists()
    assert unfinished(interrupted) == ""


def test_no_checkpoint_can_be_read(interrupted, vocab_file):
    """The run does not start again from nothing."""
    for path in (interrupted / "checkpoints").glob("*.index"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"Cannot read .*ckpt-6"):
        one_weight.run(interrupted, vocab_file)
    assert checkpoints(interrupted) == [0, 4, 6]


def test_the_state_file_is_lost(interrupted, whole, vocab_file):
    """A file that TensorFlow does not sync: empty after a power failure."""
    (interrupted / "checkpoints" / "checkpoint").write_bytes(b"")
    assert find_checkpoint(interrupted)[2].endswith("ckpt-6")
    assert one_weight.run(interrupted, vocab_file) == whole
    newest = tf.train.latest_checkpoint(str(interrupted / "checkpoints"))
    assert newest == str(interrupted / "checkpoints" / "ckpt-12")


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(vocab_file, tmp_path, monkeypatch):
    synced, sync, replace = set(), os.fsync, os.replace
    moved = []

    def note(descriptor):
        synced.add(os.fstat(descriptor).st_ino)
        sync(descriptor)

    def move(source, path):
        assert os.stat(source).st_ino in synced
        moved.append(os.path.basename(path))
        replace(source, path)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(os, "replace", move)
    one_weight.run(tmp_path, vocab_file)
    assert moved[:2] == ["ckpt-0.data-00000-of-00001", "ckpt-0.index"] and len(moved) == 8
    assert os.stat(tmp_path / "checkpoints").st_ino in synced
    assert list(list_checkpoints(str(tmp_path / "checkpoints"))) == [4, 8, 12]
