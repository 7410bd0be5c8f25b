"""The end of an EmbeddingFile; what it holds is tested with what is written to it."""

import os

import numpy as np
import pytest

from labse_tf.files.embeddings import EmbeddingFile, rows_kept


def test_rows_are_on_the_disk_before_the_file_has_its_name(tmp_path, monkeypatch):
    seen, rename, sync = [], os.rename, os.fsync

    def synced(descriptor):
        sync(descriptor)
        seen.append(os.fstat(descriptor).st_ino)

    def renamed(source, path):
        rename(source, path)
        seen.append(os.path.basename(path))

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    file = EmbeddingFile(tmp_path / "rows.npy", 3, "float32")
    file.append(np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(file.finish(), [[0, 1, 2], [3, 4, 5]])
    rows, folder = os.stat(tmp_path / "rows.npy").st_ino, os.stat(tmp_path).st_ino
    assert seen == [rows, "rows.npy", folder]
    assert os.listdir(tmp_path) == ["rows.npy"]


def npy(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no NumPy file",
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }" + " " * 20_000),
        npy("{'descr': '<f4', 'fortran_order': False, 'sha"),
        npy("[" * 3000),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (-2, 3)}")[:40],
    ],
)
def test_a_damaged_file_is_not_called_safe(tmp_path, content):
    """NumPy's own message may be to trust the file: allow_pickle=True."""
    (tmp_path / "x.npy.unfinished").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.npy\.unfinished' cannot be resumed: .*Rem") as error:
        EmbeddingFile(tmp_path / "x.npy", 3, "float32", resume=True)
    assert "pickle" not in str(error.value)
    assert rows_kept(tmp_path / "x.npy") is None
    assert (tmp_path / "x.npy.unfinished").read_bytes() == content


def test_rows_that_were_kept(tmp_path):
    assert rows_kept(tmp_path / "x.npy") is None
    file = EmbeddingFile(tmp_path / "x.npy", 3, "float16")
    file.append(np.ones([2, 3]))
    file.close()
    assert rows_kept(tmp_path / "x.npy") == 2
