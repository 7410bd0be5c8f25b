"""The directory for TensorFlow Serving, read with its own messages where there are any."""

import os
import re
import shutil
import threading

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from export.serving import main
from labse_tf.release.warmup import WARMUP_FILE
from labse_tf.serving.directory import add_version
from labse_tf.serving.templates import MARK
from tests.fresh import fresh
from tests.running import call

FILES = ["README.md", "batching_parameters.txt", "docker-compose.yml", "models.config"]


def contents(folder):
    return {
        os.path.relpath(os.path.join(at, name), folder): open(os.path.join(at, name), "rb").read()
        for at, _, names in os.walk(folder)
        for name in names
    }


def batching(path):
    """`batching_parameters.txt` in protocol buffers' text; its message is in no package."""
    values = re.sub(r"#.*", "", path.read_text())
    allowed = [int(x) for x in re.findall(r"^allowed_batch_sizes: (\d+)$", values, re.M)]
    (most,) = re.findall(r"^max_batch_size \{ value: (\d+) \}$", values, re.M)
    return allowed, int(most)


def test_versions(release, tmp_path):
    printed = call(main, release, tmp_path / "models", "--batch-sizes", 1, 4, 6)
    assert printed == f"{tmp_path / 'models' / 'labse' / '1'}\n"
    assert sorted(os.listdir(tmp_path / "models")) == sorted([*FILES, "labse"])
    first = contents(tmp_path / "models" / "labse" / "1")
    original = contents(release)
    assert first.keys() == original.keys()
    assert [name for name in first if first[name] != original[name]] == [WARMUP_FILE]
    logs = tf.data.TFRecordDataset(str(tmp_path / "models" / "labse" / "1" / WARMUP_FILE))
    requests = [prediction_log_pb2.PredictionLog.FromString(r.numpy()).predict_log for r in logs]
    sizes = [next(iter(r.request.inputs.values())).tensor_shape.dim[0].size for r in requests]
    assert sizes == [1, 4, 6, 1, 1]
    assert batching(tmp_path / "models" / "batching_parameters.txt") == ([1, 4, 6], 6)
    compose = (tmp_path / "models" / "docker-compose.yml").read_text()
    ports = re.findall(r'^ +- "(.+):(\d+):(\d+)"$', compose, re.M)
    assert ports == [("127.0.0.1", port, port) for port in ("8500", "8501")]

    (tmp_path / "models" / "labse" / "7").mkdir()
    (tmp_path / "models" / "labse" / "notes").mkdir()
    version, kept = add_version(release, tmp_path / "models")
    assert version == str(tmp_path / "models" / "labse" / "8") and kept == []
    assert contents(tmp_path / "models" / "labse" / "1") == first
    assert not [n for n in os.listdir(tmp_path / "models" / "labse") if "unfinished" in n]
    sentences = tf.constant(["Tom", "the cat"])
    np.testing.assert_array_equal(
        tf.saved_model.load(version)(sentences), tf.saved_model.load(str(release))(sentences)
    )


def test_configuration_names_all_models(release, tmp_path):
    add_version(release, tmp_path, name="labse")
    add_version(release, tmp_path, name="tuned-2")
    (tmp_path / "no model").mkdir()
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse((tmp_path / "models.config").read_text(), config)
    found = {c.name: (c.base_path, c.model_platform) for c in config.model_config_list.config}
    assert found == {
        "labse": ("/models/labse", "tensorflow"),
        "tuned-2": ("/models/tuned-2", "tensorflow"),
    }
    compose = (tmp_path / "docker-compose.yml").read_text()
    assert re.search(r"image: tensorflow/serving:2\.\d+\.\d+$", compose, re.M)
    readme = (tmp_path / "README.md").read_text()
    assert "v1/models/labse:predict" in readme and "up to 32 sentences" in readme
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.S)
    compile(code, "README.md", "exec")


def test_the_servers_user_may_read_it(release, tmp_path):
    shutil.copytree(release, tmp_path / "private")
    os.chmod(tmp_path / "private", 0o700)
    version, _ = add_version(tmp_path / "private", tmp_path / "models")
    assert os.stat(version).st_mode & 0o777 == 0o755
    for name in FILES:
        assert os.stat(tmp_path / "models" / name).st_mode & 0o777 == 0o644


def test_own_changes_are_kept(release, tmp_path):
    add_version(release, tmp_path)
    for name in FILES:
        assert MARK in (tmp_path / name).read_text().splitlines()[0]
    (tmp_path / "models.config").write_text("model_config_list {}\n")
    (tmp_path / "README.md").write_text("")
    version, kept = add_version(release, tmp_path, name="other", batch_sizes=[2])
    assert version.endswith("other/1") and sorted(kept) == ["README.md", "models.config"]
    assert (tmp_path / "models.config").read_text() == "model_config_list {}\n"
    assert (tmp_path / "README.md").read_text() == ""
    assert batching(tmp_path / "batching_parameters.txt") == ([2], 2)


def test_two_at_once_make_two_versions(release, tmp_path, monkeypatch):
    barrier, copy = threading.Barrier(2), shutil.copytree

    def together(*arguments, **options):
        copy(*arguments, **options)
        barrier.wait(60)

    monkeypatch.setattr(shutil, "copytree", together)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(add_version(release, tmp_path)[0]))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [str(tmp_path / "labse" / n) for n in ("1", "2")]
    assert sorted(os.listdir(tmp_path / "labse")) == ["1", "2"]


def test_an_existing_version_is_never_changed(release, tmp_path, monkeypatch):
    """Even if it appears after the number was chosen."""
    rename = os.rename
    (tmp_path / "labse").mkdir()

    def later(source, destination):
        if destination.endswith("1") and not os.path.exists(destination):
            os.mkdir(destination)
            open(os.path.join(destination, "theirs"), "w").close()
        rename(source, destination)

    monkeypatch.setattr(os, "rename", later)
    version, _ = add_version(release, tmp_path)
    assert version.endswith("labse/2")
    assert os.listdir(tmp_path / "labse" / "1") == ["theirs"]


def test_an_interrupt_leaves_nothing(release, tmp_path, monkeypatch):
    add_version(release, tmp_path)
    before = contents(tmp_path)

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("labse_tf.serving.directory.write_warmup", interrupted)
    with pytest.raises(KeyboardInterrupt):
        add_version(release, tmp_path, batch_sizes=[1])
    assert contents(tmp_path) == before and os.listdir(tmp_path / "labse") == ["1"]


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a b", "labse\n"])
def test_names_that_make_no_path(release, tmp_path, name):
    with pytest.raises(ValueError, match="name"):
        add_version(release, tmp_path, name=name)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("sizes", [[], [0, 1], [2, 1], [1, 1]])
def test_batch_sizes_increase(release, tmp_path, sizes):
    with pytest.raises(ValueError, match="batch_sizes"):
        add_version(release, tmp_path, batch_sizes=sizes)
    assert os.listdir(tmp_path) == []


def test_what_is_no_release(tmp_path):
    process = fresh("-m", "export.serving", tmp_path, tmp_path / "models")
    assert process.returncode == 2
    assert process.stderr.splitlines()[-1].startswith(f"error: {str(tmp_path)!r} is no release")
    assert os.listdir(tmp_path) == []
