"""The end of an EmbeddingFile; what it holds is tested with what is written to it."""

import itertools
import json
import os

import numpy as np
import pytest

from labse_tf.files import atomic
from labse_tf.files.embeddings import EmbeddingFile, check_output, rows_kept, stored_settings
from labse_tf.files.journals import ResumeError


def test_rows_are_on_the_disk_before_the_file_has_its_name(tmp_path, monkeypatch):
    seen, rename, sync = [], atomic._renameat2, os.fsync

    def synced(descriptor):
        sync(descriptor)
        seen.append(os.fstat(descriptor).st_ino)

    def renamed(source, path, flag):
        assert rename(source, path, flag)
        seen.append(os.path.basename(path))
        return True

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(atomic, "_renameat2", renamed)
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


SENTENCES = [f"sentence {i}" for i in range(10)]
SETTINGS = {"precision": "float32", "long": "cut"}


def rows_of(sentences) -> np.ndarray:
    return np.array([[sum(map(ord, s)), len(s)] for s in sentences], np.float32)


def write(path, sentences=SENTENCES, *, batch=3, stop=None, finish=True, **options):
    """Write a row for each sentence, in batches; `stop` ends the run after so many batches."""
    options = {"settings": SETTINGS} | options
    file = EmbeddingFile(path, 2, "float32", resume=True, **options)
    try:
        watched = iter(file.watch(sentences))
        if file.rows:
            file.skip(watched)
        for number in itertools.count():
            if number == stop:
                return None
            if not (part := list(itertools.islice(watched, batch))):
                break
            file.append(rows_of(part))
        return file.finish()
    finally:
        file.close()


def test_a_resumed_run_has_the_same_rows(tmp_path):
    write(tmp_path / "x.npy", stop=2)
    assert stored_settings(tmp_path / "x.npy") == SETTINGS
    write(tmp_path / "x.npy", stop=1, batch=2)
    assert rows_kept(tmp_path / "x.npy") == 8
    np.testing.assert_array_equal(write(tmp_path / "x.npy"), rows_of(SENTENCES))
    assert os.listdir(tmp_path) == ["x.npy"]


@pytest.mark.parametrize("resume", [False, True])
def test_one_process_at_a_time(tmp_path, resume):
    """Two runs that resume one output would write over each other's rows."""
    write(tmp_path / "x.npy", stop=1)
    file = EmbeddingFile(tmp_path / "x.npy", 2, "float32", resume=True, settings=SETTINGS)
    before = (tmp_path / "x.npy.unfinished").read_bytes()
    for second in (check_output, lambda path, resume: EmbeddingFile(path, 2, "f4", resume=resume)):
        with pytest.raises(BlockingIOError, match=r"Another process writes .*x\.npy\.unfinished'"):
            second(tmp_path / "x.npy", resume=resume)
    assert (tmp_path / "x.npy.unfinished").read_bytes() == before
    file.close()
    check_output(tmp_path / "x.npy", resume=True)


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path):
    write(tmp_path / "x.npy", stop=2)
    file = EmbeddingFile(tmp_path / "x.npy", 2, "float32", resume=True, settings=SETTINGS)
    (tmp_path / "x.npy").write_text("of another program")
    with pytest.raises(FileExistsError, match=r"was created by another program.*unfinished'"):
        file.finish()
    file.close()
    assert (tmp_path / "x.npy").read_text() == "of another program"
    os.remove(tmp_path / "x.npy")
    np.testing.assert_array_equal(write(tmp_path / "x.npy"), rows_of(SENTENCES))


def test_without_renameat2_no_file_is_replaced_either(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "_renameat2", lambda *_: False)
    file = EmbeddingFile(tmp_path / "x.npy", 2, "float32")
    (tmp_path / "x.npy").touch()
    with pytest.raises(FileExistsError):
        file.finish()
    os.remove(tmp_path / "x.npy")
    assert file.finish().shape == (0, 2)


def test_other_settings_are_refused_with_all_differences(tmp_path):
    write(tmp_path / "x.npy", stop=1)
    before = (tmp_path / "x.npy.unfinished").read_bytes()
    with pytest.raises(ResumeError) as error:
        write(tmp_path / "x.npy", settings={"precision": "bfloat16", "long": "mean"})
    assert "long was 'cut' and is now 'mean'; precision was 'float32' and is" in str(error.value)
    assert (tmp_path / "x.npy.unfinished").read_bytes() == before


@pytest.mark.parametrize("index", [0, 4, 5])
def test_a_changed_sentence_is_found_wherever_it_is(tmp_path, index):
    write(tmp_path / "x.npy", stop=2)
    changed = [*SENTENCES[:index], "changed", *SENTENCES[index + 1 :]]
    segment = "1 to 3" if index < 3 else "4 to 6"
    with pytest.raises(ResumeError, match=f"sentences {segment} are not the same"):
        write(tmp_path / "x.npy", changed)
    # Two sentences that are joined or torn otherwise are other sentences as well.
    with pytest.raises(ResumeError, match="sentences 1 to 3 are not the same"):
        write(tmp_path / "x.npy", ["sentence 0s", "entence 1", *SENTENCES[2:]])
    with pytest.raises(ResumeError, match="it has 6 rows, but there are only 4 sentences"):
        write(tmp_path / "x.npy", SENTENCES[:4])
    # A sentence without a row may change.
    later = [*SENTENCES[:6], "changed"]
    np.testing.assert_array_equal(write(tmp_path / "x.npy", later), rows_of(later))


@pytest.mark.parametrize("end", [b"", b'{"rows": 9, "sent', b'{"rows": 9}\n', b"\0" * 80])
def test_rows_that_a_killed_run_had_not_recorded_are_written_again(tmp_path, end):
    write(tmp_path / "x.npy", stop=2)
    journal = tmp_path / "x.npy.unfinished.jsonl"
    recorded = journal.read_bytes()
    assert [json.loads(line).get("rows") for line in recorded.splitlines()] == [None, 3, 6]
    write(tmp_path / "x.npy", [*SENTENCES[:6], "changed", *SENTENCES[7:]], stop=1)
    journal.write_bytes(recorded + end)
    assert rows_kept(tmp_path / "x.npy") == 9
    np.testing.assert_array_equal(write(tmp_path / "x.npy"), rows_of(SENTENCES))


def test_rows_of_an_earlier_release_have_no_journal(tmp_path, caplog):
    write(tmp_path / "x.npy", stop=2, settings=None)
    assert stored_settings(tmp_path / "x.npy") is None
    write(tmp_path / "x.npy", ["changed", *SENTENCES[1:]], stop=0)  # as if refused by its rows
    assert "only the first and the last row" in caplog.text
    write(tmp_path / "x.npy", stop=1)
    with pytest.raises(ResumeError, match="sentences 1 to 9 are not the same"):
        write(tmp_path / "x.npy", ["changed", *SENTENCES[1:]])
    np.testing.assert_array_equal(write(tmp_path / "x.npy"), rows_of(SENTENCES))


@pytest.mark.parametrize("content", [b"", b"\0\n", b"[]\n", b'{"settings": 1}\n'])
def test_a_damaged_journal_is_refused(tmp_path, content):
    write(tmp_path / "x.npy", stop=1)
    (tmp_path / "x.npy.unfinished.jsonl").write_bytes(content)
    with pytest.raises(ResumeError, match=r"unfinished\.jsonl'"):
        write(tmp_path / "x.npy")


def test_a_run_without_rows_leaves_nothing(tmp_path):
    write(tmp_path / "x.npy", stop=0)
    assert os.listdir(tmp_path) == []
