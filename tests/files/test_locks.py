import errno
import fcntl
import os
import shutil

import pytest

from labse_tf.files.locks import lock_directory, lock_file


def test_a_locked_directory_belongs_to_one(tmp_path):
    """Two descriptors of one process exclude each other as those of two processes do."""
    with (
        lock_directory(tmp_path / "a" / "b", "trains"),
        pytest.raises(BlockingIOError, match=r"Another process trains in .*b'\. Wait"),
        lock_directory(tmp_path / "a" / "b", "trains"),
    ):
        pass
    with lock_directory(tmp_path / "a" / "b"):
        pass


def test_directories_that_stay_empty_are_removed(tmp_path):
    with lock_directory(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
    assert not (tmp_path / "a").exists()
    with lock_directory(tmp_path / "a" / "b"):
        (tmp_path / "a" / "file").touch()
    assert os.listdir(tmp_path / "a") == ["file"]
    (tmp_path / "old").mkdir()
    with lock_directory(tmp_path / "old"):
        pass
    assert (tmp_path / "old").is_dir()
    with lock_directory(tmp_path / "c" / "d"):
        shutil.rmtree(tmp_path / "c" / "d")
    assert not (tmp_path / "c").exists()


def test_a_directory_that_its_last_holder_removes_is_created_again(tmp_path, monkeypatch):
    """The holder removes it between the opening and the lock of the next process."""
    path, flock, calls = tmp_path / "a", fcntl.flock, []

    def remove_first(descriptor, operation):
        if not calls:
            path.rmdir()
        calls.append(operation)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with lock_directory(path):
        (path / "file").touch()
        assert len(calls) == 2
    assert (path / "file").exists()


def test_a_file_that_was_renamed_before_its_lock(tmp_path):
    """Whoever opened the unfinished file must not write to the finished one."""
    with open(tmp_path / "x.unfinished", "x") as file:
        os.rename(tmp_path / "x.unfinished", tmp_path / "x")
        with pytest.raises(BlockingIOError, match=r"finished with .*x\.unfinished'"):
            lock_file(file.fileno(), tmp_path / "x.unfinished")


def test_a_file_system_without_locks_is_reported(tmp_path, monkeypatch, caplog):
    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with lock_directory(tmp_path):
        assert "cannot be locked" in caplog.text
