"""Checkpoints read by NumPy against TensorFlow."""

import numpy as np
import pytest
import tensorflow as tf

from labse_tf.files.tensor_bundle import read_variables


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Many variables, so that the index has several blocks, of all dtypes and odd sizes."""
    rng = np.random.default_rng(0)
    root = tf.train.Checkpoint()
    root.many = [
        tf.Variable(rng.normal(size=[i % 7, 3]).astype(np.float32), name=f"layer_{i}/kernel")
        for i in range(200)
    ]
    root.others = [
        tf.Variable(tf.cast(rng.integers(-90, 90, [5, 2]), dtype), name=f"of/{dtype}")
        for dtype in ("float32", "float16", "bfloat16", "int8", "int32", "int64")
    ]
    root.text, root.number = tf.Variable("words"), tf.Variable(2.5, name="number")
    path = root.write(str(tmp_path_factory.mktemp("bundle") / "variables"))
    return path, {
        v.name.removesuffix(":0"): v.numpy() for v in [*root.many, *root.others, root.number]
    }


def test_all_variables(saved):
    path, expected = saved
    found = read_variables(path)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].shape == value.shape
        dtype = np.float32 if name == "of/bfloat16" else value.dtype
        assert found[name].dtype == dtype
        np.testing.assert_array_equal(found[name], value.astype(dtype))


def test_what_is_written_to_stays_here(saved):
    path, expected = saved
    read_variables(path)["layer_1/kernel"][:] = 7
    np.testing.assert_array_equal(
        read_variables(path)["layer_1/kernel"], expected["layer_1/kernel"]
    )


def test_what_is_no_checkpoint(saved, tmp_path):
    path, _ = saved
    with pytest.raises(FileNotFoundError, match="absent"):
        read_variables(tmp_path / "absent")
    with open(f"{path}.index", "rb") as file:
        index = file.read()
    with open(f"{path}.data-00000-of-00001", "rb") as file:
        data = file.read()

    def write(index, data):
        (tmp_path / "x.index").write_bytes(index)
        (tmp_path / "x.data-00000-of-00001").write_bytes(data)
        return tmp_path / "x"

    for broken in (b"", index[:-1], index[:1000] + index[-48:], b"x" * 3000):
        with pytest.raises(ValueError, match=r"x\.index' is not the index of a checkpoint"):
            read_variables(write(broken, data))
    with pytest.raises(ValueError, match=r"x\.data-00000-of-00001' ends before"):
        read_variables(write(index, data[: len(data) // 2]))
    (tmp_path / "x.data-00000-of-00001").unlink()
    with pytest.raises(FileNotFoundError, match=r"x\.data-00000-of-00001"):
        read_variables(tmp_path / "x")
