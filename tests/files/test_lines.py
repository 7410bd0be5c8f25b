"""The reader of lines, against Python's own splitting of the whole text."""

import contextlib
import gzip
import os
import random
import select
import subprocess
import sys
from itertools import chain

import pytest

from labse_tf.files.lines import count_lines, read_blocks, read_lines

# Lines of a few bytes, of blocks' sizes and one byte around these, and some longer than blocks.
SIZES = [0, 1, 2, 30, 1000, 2**17 - 2, 2**17 - 1, 2**17, 2**17 + 1, 3 * 2**17]
CHARACTERS = "aé字\U0001f642\u2028\x85\x0b\t "  # some that `str.splitlines` would divide at


def written(path, content: bytes):
    path.write_bytes(gzip.compress(content) if ".gz" in path.name else content)
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last_end", [True, False])
@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_all_lines_without_their_ends(tmp_path, name, end, last_end):
    generator = random.Random(0)
    sizes = SIZES + generator.choices(range(200), k=20_000)
    generator.shuffle(sizes)
    lines = ["".join(generator.choices(CHARACTERS, k=20)) * (size // 20) for size in sizes]
    lines += ["a" * size for size in SIZES] + ["the last"]
    text = end.join(lines) + end * last_end
    path = written(tmp_path / name, text.encode())
    assert list(read_lines(path)) == lines
    assert count_lines(path) == len(lines)
    kept = [line + "\r" for line in lines] if end == "\r\n" else lines
    kept[-1] = kept[-1] if last_end else lines[-1]
    blocks = list(read_blocks(path))
    assert list(chain(*blocks)) == kept
    assert 10 < len(blocks) < 500  # blocks, neither the whole nor single lines


@pytest.mark.parametrize(
    ("content", "lines"), [(b"", []), (b"\n", [""]), (b"\r", [""]), (b"\n\na", ["", "", "a"])]
)
@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_few_lines(tmp_path, name, content, lines):
    path = written(tmp_path / name, content)
    assert list(read_lines(path)) == lines
    assert list(chain(*read_blocks(path, carriage_returns=False))) == lines
    assert count_lines(path) == len(lines)


def test_carriage_returns_stay_or_go(tmp_path):
    path = written(tmp_path / "a.txt", b"a\rb\r\r\nc\r\nd\r")
    assert list(chain(*read_blocks(path))) == ["a\rb\r\r", "c\r", "d\r"]
    assert list(chain(*read_blocks(path, carriage_returns=False))) == ["ab", "c", "d"]
    assert list(read_lines(path)) == ["a\rb\r", "c", "d"]  # one, at the end


def test_compression_by_name_or_as_said(tmp_path):
    path = written(tmp_path / "a.tsv.gz-00000-of-00002", b"a\n")
    assert list(read_blocks(path, compressed=True)) == [["a"]]
    path = tmp_path / "b.gz"
    path.write_bytes(b"b\n")
    assert list(read_blocks(path, compressed=False)) == [["b"]]
    opened = []

    def open_file(name):
        opened.append(name)
        return open(name.removeprefix("gs://"), "rb")

    assert list(read_blocks(f"gs://{path}", compressed=False, open_file=open_file)) == [["b"]]
    assert opened == [f"gs://{path}"]


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.txt"):
        next(read_lines(tmp_path / "absent.txt"))


def test_invalid_utf8_is_refused_or_replaced(tmp_path):
    path = written(tmp_path / "bad.txt", b"good\nna\xefve\nlast\n")
    lines = read_lines(path)
    assert next(lines) == "good"
    said = (
        r"bad\.txt:2: invalid UTF-8 \(invalid continuation byte: byte 0xef in position 2\)"
        r".*--errors replace"
    )
    with pytest.raises(ValueError, match=said):
        next(lines)
    assert list(read_lines(path, errors="replace")) == ["good", "na\ufffdve", "last"]
    with pytest.raises(ValueError, match=r"`errors` \(='ignore'\) must be one of"):
        read_lines(path, errors="ignore")


@pytest.mark.parametrize("before", [0, 1, 70_000])
@pytest.mark.parametrize("bad", [b"\xff", "字".encode()[:2], b"ab\xed\xa0\x80"])
@pytest.mark.parametrize("name", ["bad.txt", "bad.txt.gz"])
def test_all_lines_before_invalid_utf8_are_given(tmp_path, name, bad, before):
    path = written(tmp_path / name, b"line\r\n" * before + bad + b"\n" + b"line\n" * 70_000)
    read = []
    with pytest.raises(ValueError) as error:
        for block in read_blocks(path, carriage_returns=False, remedy="Weep."):
            read += block
    assert read == ["line"] * before
    assert str(error.value).startswith(f"{path}:{before + 1}: invalid UTF-8 (")
    assert str(error.value).endswith("). Weep.")
    # What stands for the bad bytes does not take the line's end with it.
    replaced = list(read_lines(path, "replace"))
    assert len(replaced) == count_lines(path) == before + 1 + 70_000
    assert replaced[before] == bad.decode("utf-8", "replace")


def test_damaged_gzip(tmp_path):
    lines = [f"{n}\n".encode() for n in random.Random(0).choices(range(10**9), k=50_000)]
    whole = gzip.compress(b"".join(lines))
    path = tmp_path / "bad.txt.gz"
    damaged = whole[:10] + b"\xff" * 1000  # a block of no known type
    for content in (whole[:-5000], whole[:-4], whole[:-8] + bytes(8), damaged, b"no gzip\n"):
        path.write_bytes(content)
        read = []
        with pytest.raises(ValueError, match="the gzip is damaged or cut short here") as error:
            for line in read_lines(path):
                read.append(f"{line}\n".encode())
        assert str(error.value).startswith(f"{path}:{len(read) + 1}:")
        assert read == lines[: len(read)]
        with pytest.raises(ValueError, match="damaged or cut short"):
            count_lines(path)
    for content, least in ((whole[:-5000], 45_000), (whole[:-4], 50_000)):
        path.write_bytes(content)
        with pytest.raises(ValueError) as error:
            list(read_lines(path))
        assert int(str(error.value).removeprefix(f"{path}:").split(":")[0]) > least - 4000


def test_standard_input_line_by_line():
    """Lines of a pipe are there as soon as they are written, not when a block is full."""
    code = (
        "from labse_tf.files.lines import read_lines\n"
        "for line in read_lines('-'): print(repr(line), flush=True)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process, contextlib.ExitStack() as end:
        end.callback(process.kill)
        for text in ("eins", "zwei ä"):
            process.stdin.write(f"{text}\n".encode())
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], 60)
            assert ready and process.stdout.readline().decode() == f"{text!r}\n"
        process.stdin.write(b"drei")
        process.stdin.close()
        assert process.stdout.read() == b"'drei'\n"
        assert process.wait(60) == 0


def test_a_named_pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    text = "".join(f"{i}\n" for i in range(100_000))
    writer = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"open({str(path)!r}, 'w').writelines(f'{{i}}\\n' for i in range(100_000))",
        ]
    )
    assert "".join(f"{line}\n" for line in read_lines(path)) == text
    assert writer.wait(60) == 0
