"""Sentences and files of sentences on a command line, and those of `labse encode`."""

import contextlib
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import labse_tf
from labse_tf.commands.main import main
from labse_tf.commands.sentences import given_sentences
from tests.running import call, run

CODE = "from labse_tf.commands.flags import run_program; run_program({})"


def test_sentences_files_and_an_at_sign(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("@one\n@@two\n")
    assert list(given_sentences(f"@{path}")) == ["@one", "@@two"]
    assert list(given_sentences("one")) == ["one"]
    assert list(given_sentences("@@user hi")) == ["@user hi"]
    assert list(given_sentences("@@")) == ["@"]
    with pytest.raises(FileNotFoundError, match=r"no file 'user hi'.* begins with @, write @@"):
        list(given_sentences("@user hi"))


@contextlib.contextmanager
def pipe(path, content: bytes):
    """A named pipe, which is written once."""
    os.mkfifo(path)
    thread = threading.Thread(target=path.write_bytes, args=[content], daemon=True)
    thread.start()
    yield path
    thread.join(20)


def test_encode_reads_a_pipe_and_names_in_capitals(release, tmp_path):
    options = ["--model", release, "--output"]
    expected = labse_tf.load(release).encode(["the cat", "Tom"])
    with pipe(tmp_path / "pipe", b"the cat\nTom\n") as path:
        call(main, "encode", path, *options, tmp_path / "x.npy")
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), expected, atol=1e-6)
    (tmp_path / "A.TSV").write_bytes(b"1\tthe cat\n")
    said = call(main, "encode", tmp_path / "A.TSV", *options, tmp_path / "y.npy", status=2)
    assert said.endswith("A.TSV': say with --column where its sentences are.")
    said = call(main, "encode", tmp_path, *options, tmp_path / "y.npy", status=2)
    assert said.endswith("is a directory; give its files.")


def test_encode_of_long_texts_and_equal_ones(release, tmp_path, monkeypatch):
    texts = ["Tom", "the cat " * 40 + "Tom", "green", "Tom"]
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    expected = labse_tf.load(release).encode(texts, long="mean")
    given, encode = {}, labse_tf.LaBSE.encode

    def noting(*arguments, **options):
        given.update(options)
        return encode(*arguments, **options)

    monkeypatch.setattr(labse_tf.LaBSE, "encode", noting)
    arguments = ["encode", tmp_path / "texts.txt", "--model", release, "--output"]
    call(main, *arguments, tmp_path / "x.npy", "--long", "mean", "--no-deduplicate")
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), expected, atol=1e-6)
    assert (given["long"], given["deduplicate"]) == ("mean", False)
    said = call(main, *arguments, tmp_path / "y.npy", "--long", "max", status=2)
    assert "argument --long: invalid choice: 'max'" in said


def test_encode_says_what_a_damaged_file_is(release, tmp_path):
    (tmp_path / "a.txt").write_text("the cat\n")
    (tmp_path / "x.npy.unfinished").write_bytes(b"damaged")
    found = run(
        main, "encode", tmp_path / "a.txt", "--model", release, "--output", tmp_path / "x.npy",
        "--resume",
    )  # fmt: skip
    assert found.returncode == 2
    (line,) = found.stderr.splitlines()
    assert "x.npy.unfinished' cannot be resumed" in line and "pickle" not in line


def test_who_reads_may_stop_reading():
    """As `| head -1`, with more behind it than a pipe holds."""
    many = "lambda _: [print('a' * 100, flush=i % 2) for i in range(10_000)]"
    few = "lambda _: (print('a'), __import__('time').sleep(0.2), print('b'))"
    for main_ in (many, few):
        process = subprocess.Popen(
            [sys.executable, "-c", CODE.format(main_)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        if main_ is many:
            assert process.stdout.readline() == "a" * 100 + "\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 141


def test_a_traceback_where_one_is_asked_for(monkeypatch):
    def fail(_):
        raise TypeError("a bug of ours")

    assert run(fail).stderr == "error: a bug of ours\n"
    monkeypatch.setenv("LABSE_TRACEBACK", "1")
    found = run(fail)
    assert found.returncode == 2
    assert found.stderr.startswith("Traceback (most recent call last)")
    assert "in fail" in found.stderr and found.stderr.endswith("\nerror: a bug of ours\n")
