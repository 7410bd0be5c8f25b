"""The end of an EmbeddingFile; what it holds is tested with what is written to it."""

import os

import numpy as np

from labse_tf.files.embeddings import EmbeddingFile


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
