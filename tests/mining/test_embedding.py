"""Embeddings of a side: stored forms against NumPy, runs that are cut off, given ones."""

import tracemalloc
import warnings

import numpy as np
import pytest

from labse_tf.mining import embedding
from labse_tf.mining.embedding import embed_side
from labse_tf.mining.given_embeddings import check_given, given_rows, unit_rows
from labse_tf.mining.options import MiningOptions
from labse_tf.mining.rows import Int8Rows, forget_pages, open_rows
from labse_tf.mining.sides import read_side
from tests.planted import DIM, by_hash


@pytest.fixture
def side(tmp_path):
    lines = [f"sentence {i % 70}" for i in range(90)]
    return read_side(lines, "source", str(tmp_path), MiningOptions(), "a.txt")


@pytest.fixture
def expected(side):
    rows = by_hash(side.sentences())
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("dtype, error", [("float32", 0), ("float16", 5e-4), ("int8", 4e-3)])
def test_stored_rows(side, expected, tmp_path, dtype, error):
    rows = embed_side(side, by_hash, str(tmp_path / "x.npy"), dtype)
    assert rows.shape == (70, DIM) and len(rows) == 70
    np.testing.assert_allclose(rows[10:20], expected[10:20], atol=error + 1e-7)
    some = np.array([[3, 69], [0, 3]])
    np.testing.assert_allclose(np.take(rows, some, axis=0), expected[some], atol=error + 1e-7)
    np.testing.assert_allclose(rows[some[0]], expected[some[0]], atol=error + 1e-7)
    forget_pages(rows)
    np.testing.assert_allclose(open_rows(tmp_path / "x.npy")[:5], expected[:5], atol=error + 1e-7)
    assert isinstance(rows, Int8Rows) == (dtype == "int8")


def test_it_goes_on_where_it_was_cut_off(side, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "EMBEDDED_AT_ONCE", 16)
    seen = []

    def encode(sentences):
        if len(seen) > 40:
            raise KeyboardInterrupt
        seen.extend(sentences)
        return by_hash(sentences)

    path = str(tmp_path / "x.npy")
    with pytest.raises(KeyboardInterrupt):
        embed_side(side, encode, path, "float32")
    later = []
    rows = embed_side(side, lambda s: later.append(len(s)) or by_hash(s), path, "float32")
    assert later == [1, 16, 6]  # 48 of 70 were there
    np.testing.assert_allclose(rows, expected, atol=1e-6)


def test_warnings_are_summed(side, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(embedding, "EMBEDDED_AT_ONCE", 30)

    def encode(sentences):
        warnings.warn(f"1,002 of {len(sentences)} sentences are longer and were cut.", stacklevel=2)
        return by_hash(sentences)

    embed_side(side, encode, str(tmp_path / "x.npy"), "float32")
    assert caplog.messages == ["Of the sources 3,006 are longer and were cut."]


def test_given_rows(side, expected, tmp_path):
    path = tmp_path / "x.npy"
    by_line = np.concatenate([expected, expected[:20]]).astype(np.float16)
    np.save(path, by_line)
    rows = given_rows(path, side, "a.txt")
    np.testing.assert_array_equal(rows[:], by_line[:70])
    np.testing.assert_array_equal(given_rows(by_line, side, "a.txt")[:], by_line[:70])
    check_given(rows, side, "x.npy", by_hash)
    assert unit_rows(rows, str(tmp_path / "unit.npy"), "x.npy") is rows
    made = unit_rows(3 * rows[:], str(tmp_path / "unit.npy"), "x.npy")
    np.testing.assert_allclose(made, expected, atol=2e-3)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda rows: rows[:80], r"x.npy: 80 rows, but a.txt has 90 lines: there must be a row"),
        (lambda rows: rows.astype(np.float64), r"x.npy: expected float32 or float16 .* float64"),
        (lambda rows: rows[0], r"x.npy: expected .* \[24\]"),
        (lambda rows: np.array(["text"]), "x.npy: expected"),
    ],
)
def test_given_rows_that_do_not_fit(side, tmp_path, change, message):
    rows = by_hash(map(str, range(90)))
    np.save(tmp_path / "x.npy", change(rows))
    with pytest.raises(ValueError, match=message):
        given_rows(tmp_path / "x.npy", side, "a.txt")


def test_files_that_are_not_npy(side, tmp_path):
    path, rows = tmp_path / "y.npy", by_hash(map(str, range(90)))
    np.save(path, rows)
    damaged = path.read_bytes()[:-1]
    np.savez(tmp_path / "z.npz", rows)
    objects = tmp_path / "objects.npy"
    np.save(objects, np.array([{}] * 90, object))
    for content, message in (
        (b"no array", r"y.npy: not a .npy file. If it holds raw float32 .* numpy.fromfile"),
        (rows.tobytes(), r"y.npy: not a .npy file. If it holds raw float32"),
        (b"", r"y.npy: not a .npy file"),
        ((tmp_path / "z.npz").read_bytes(), r"y.npy: an .npz archive, not a .npy file. Write"),
        (damaged, r"y.npy: a damaged .npy file, or not one of numbers: mmap length"),
        (objects.read_bytes(), r"y.npy: a damaged .npy file, or not one of numbers: .* objects"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message) as error:
            given_rows(path, side, "a.txt")
        assert "pickle" not in str(error.value)


def test_given_rows_are_read_when_they_are_used(tmp_path):
    """One duplicate or empty line must not bring all embeddings into memory."""
    count, dim = 40_000, 64
    lines = ["", *(f"sentence {i}" for i in range(count - 2)), "sentence 7"]
    side = read_side(lines, "source", str(tmp_path), MiningOptions(), "a.txt")
    rows = np.random.default_rng(0).normal(size=[count, dim]).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.save(tmp_path / "x.npy", rows)
    tracemalloc.start()
    found = unit_rows(
        given_rows(tmp_path / "x.npy", side, "a.txt"), str(tmp_path / "unit.npy"), "x.npy"
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.9 * rows.nbytes and not (tmp_path / "unit.npy").exists()
    assert found.shape == (count - 2, dim) and found.dtype == np.float32
    expected, some = rows[1:-1], np.array([[3, 9], [0, count - 3]])
    np.testing.assert_array_equal(found[10:20], expected[10:20])
    np.testing.assert_array_equal(found[some[0]], expected[some[0]])
    np.testing.assert_array_equal(np.take(found, some, axis=0), expected[some])
    forget_pages(found)
    np.testing.assert_array_equal(found[-5:], expected[-5:])


def test_given_rows_of_another_model(side, tmp_path):
    rows = given_rows(by_hash(map(str, range(90))), side, "a.txt")
    with pytest.raises(ValueError, match=r"x.npy: row \d+ is not the model's embedding of 'sente"):
        check_given(rows, side, "x.npy", by_hash)
    with pytest.raises(ValueError, match=r"of 24 numbers, but the model's embeddings of 3: they"):
        check_given(rows, side, "x.npy", lambda s: np.ones([len(s), 3], np.float32))
    for value, what in ((np.nan, "NaN or infinity"), (0, "nothing but zeros")):
        broken = rows[:]
        broken[5] = value
        with pytest.raises(ValueError, match=rf"x.npy: the embedding of sentence 5 holds {what}"):
            unit_rows(broken, str(tmp_path / "unit.npy"), "x.npy")
