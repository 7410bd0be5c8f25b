"""labse_tf.load: what a name stands for that is not there."""

import pytest

import labse_tf
from labse_tf.pretrained import hugging_face


@pytest.mark.parametrize(
    "name",
    ["build/typo", "./typo", "../typo", "typo", "typo/a/b", "typo/", "/typo/a", "typo/a.tar.gz"],
)
def test_a_path_is_not_looked_for_on_hugging_face(name, tmp_path, monkeypatch):
    def download(name):
        raise AssertionError(f"{name!r} was asked for")

    (tmp_path / "build").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hugging_face, "download", download)
    with pytest.raises(FileNotFoundError, match=rf"^There is no file or directory '{name}'\.$"):
        labse_tf.load(name)


def test_a_name_that_could_be_either_is_said_to_be_no_directory_first(tmp_path, monkeypatch):
    def download(name):
        raise OSError("Cannot fetch it. Is this machine online?")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hugging_face, "download", download)
    with pytest.raises(OSError, match=r"^There is no directory 'typo/dir' here\. Cannot fetch"):
        labse_tf.load("typo/dir")
