"""The working directory of a run: what is kept, for whom, and what makes it unusable."""

import errno
import os

import numpy as np
import pytest

from labse_tf.files import atomic
from labse_tf.mining import run, searching
from labse_tf.mining.mine_files import mine_files
from labse_tf.mining.options import MiningOptions
from labse_tf.search.both_directions import nearest_both_ways
from labse_tf.search.state import SearchState
from tests.evaluation.test_mining import mining_set
from tests.planted import by_hash, planted


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A set in BUCC's format and the function that embeds it; its unit embeddings beside it."""
    folder = tmp_path_factory.mktemp("set")
    sides, table, _ = mining_set(folder, "de-en", seed=0)
    encode = planted(table)
    paths = folder / "de-en.de", folder / "de-en.en"
    for path, sentences in zip(paths, sides.values()):
        rows = encode(sentences)
        np.save(f"{path}.npy", rows / np.linalg.norm(rows, axis=1, keepdims=True))
    return *paths, encode


@pytest.fixture(scope="module")
def expected(files, tmp_path_factory):
    """The pairs of an uninterrupted run."""
    out = tmp_path_factory.mktemp("expected") / "out.tsv"
    mine_files(*files[:2], out, files[2])
    return out.read_bytes()


def given(files):
    return {f"{name}_embeddings": f"{path}.npy" for name, path in zip(("source", "target"), files)}


def test_a_second_run_leaves_the_first_alone(files, expected, tmp_path):
    out, refused = tmp_path / "out.tsv", []

    def encode(sentences):
        if not refused:  # before there are results
            with pytest.raises(
                BlockingIOError, match=r"Another process mines in '.*out.tsv.mining"
            ):
                mine_files(*files[:2], out, files[2], MiningOptions(k=5))
            refused.append(sorted(os.listdir(f"{out}.mining")))
        return files[2](sentences)

    mine_files(*files[:2], out, encode)
    assert refused and "settings.json" in refused[0]
    assert out.read_bytes() == expected and sorted(os.listdir(tmp_path)) == [
        "out.meta.tsv", "out.tsv",
    ]  # fmt: skip


def test_a_finished_run_is_not_overwritten_by_one_that_waited(files, tmp_path):
    """The output appears after the first look, before and after the sentences are embedded."""
    out, calls = tmp_path / "out.tsv", []

    def encode(sentences):
        calls.append(len(sentences))
        out.write_text("of another program")
        return files[2](sentences)

    with pytest.raises(FileExistsError, match=r"out.tsv' exists"):
        mine_files(*files[:2], out, encode)
    assert out.read_text() == "of another program" and (tmp_path / "out.tsv.mining").exists()
    before = len(calls)
    mine_files(*files[:2], out, encode, overwrite=True)
    assert sum(calls[before:]) < 20  # nothing was embedded again, except to compare the model


@pytest.mark.parametrize("at", ["in the search", "after the search"])
def test_given_embeddings_keep_the_search(files, expected, tmp_path, monkeypatch, at, caplog):
    out = tmp_path / "out.tsv"

    def interrupted(*arguments, **options):
        if at == "in the search":
            nearest_both_ways(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(searching, "SearchState", lambda path: SearchState(path, every=0))
    monkeypatch.setattr(searching, "_seconds", lambda dim, precision: len(precision))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        where = (searching, "nearest_both_ways") if at == "in the search" else (run, "kept_pairs")
        patch.setattr(*where, interrupted)
        mine_files(*files[:2], out, **given(files))
    kept = "search.npz" if at == "in the search" else "neighbours.npz"
    assert kept in os.listdir(f"{out}.mining")
    assert "The results so far are kept in" in caplog.text
    # Another precision would be faster now, and more memory is allowed.
    monkeypatch.setattr(searching, "_seconds", lambda dim, precision: -len(precision))
    products = []

    def resumed(sources, targets, k, *, progress, precision, **options):
        assert precision == "float32"
        return nearest_both_ways(
            sources, targets, k, precision=precision, progress=products.append, **options
        )

    monkeypatch.setattr(searching, "nearest_both_ways", resumed)
    mine_files(*files[:2], out, options=MiningOptions(memory="6G"), **given(files))
    assert out.read_bytes() == expected
    assert products == ([300 * 300] if at == "in the search" else [])  # all before the first tile


def test_an_error_before_there_are_results_leaves_nothing(files, tmp_path, caplog):
    with pytest.raises(ValueError, match=r"`k` \(=301\)"):
        mine_files(*files[:2], tmp_path / "x.tsv", files[2], MiningOptions(k=301))
    assert os.listdir(tmp_path) == [] and caplog.text == ""


def test_another_function_does_not_resume(files, expected, tmp_path):
    """Functions have no fingerprint; with another one all pairs would be wrong, silently."""
    out = tmp_path / "out.tsv"

    def stop(sentences):
        if any(" t" in sentence for sentence in sentences[3:]):
            raise KeyboardInterrupt
        return files[2](sentences)

    with pytest.raises(KeyboardInterrupt):
        mine_files(*files[:2], out, stop)
    assert "source.npy" in os.listdir(f"{out}.mining")
    with pytest.raises(ValueError, match=r"another model: the embeddings of the sources differ"):
        mine_files(*files[:2], out, by_hash)
    with pytest.raises(ValueError, match=r"another model: .*\(24 dimensions before\)"):
        mine_files(*files[:2], out, lambda s: by_hash(s)[:, :5])
    mine_files(*files[:2], out, lambda sentences: files[2](sentences))
    assert out.read_bytes() == expected


def test_settings_of_the_model_that_differ(files, release, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "kept_pairs", lambda *_: 1 / 0)
    options = {"encode_options": {"long": "mean", "batch_tokens": 64}}
    with pytest.raises(ZeroDivisionError):
        mine_files(*files[:2], tmp_path / "x.tsv", release, **options)
    options = {"load_options": {"precision": "float32"}, "encode_options": {"batch_tokens": 65}}
    with pytest.raises(ValueError, match="long was 'mean' and is now None"):
        mine_files(*files[:2], tmp_path / "x.tsv", release, **options)


def test_more_memory_keeps_the_dtype(files, tmp_path, monkeypatch):
    out = tmp_path / "out.tsv"
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(run, "kept_pairs", lambda *_: 1 / 0)
        patch.setattr(run, "stored_dtype", lambda *_: "float16")
        mine_files(*files[:2], out, files[2])
    os.rename(f"{out}.mining/target.npy", f"{out}.mining/target.npy.unfinished")
    monkeypatch.setattr(run, "stored_dtype", lambda *_: "float32")
    mine_files(*files[:2], out, files[2])
    assert out.exists()


@pytest.mark.parametrize("failing", [0, 1])
def test_a_full_disk_leaves_neither_file(files, tmp_path, monkeypatch, failing):
    out, synced = tmp_path / "out.tsv", []

    def fsync(descriptor, path):
        if os.path.basename(path).startswith(".out."):
            synced.append(path)
            if len(synced) == failing + 1:
                raise OSError(errno.ENOSPC, "No space left on device", path)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left") as error:
        patch.setattr(atomic, "_fsync", fsync)
        mine_files(*files[:2], out, files[2])
    assert os.listdir(tmp_path) == ["out.tsv.mining"]
    assert error.value.filename == str(tmp_path / ("out.tsv", "out.meta.tsv")[failing])
    mine_files(*files[:2], out, lambda sentences: files[2](sentences))
    assert sorted(os.listdir(tmp_path)) == ["out.meta.tsv", "out.tsv"]
