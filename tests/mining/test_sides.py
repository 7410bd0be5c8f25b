"""Sides: what of a text is mined, where its copies are; against dictionaries."""

import numpy as np
import pytest

from labse_tf.data.duplicates import duplicate_keys, group_duplicates
from labse_tf.files.hashes import digests
from labse_tf.mining.options import MiningOptions
from labse_tf.mining.sides import check_filters, read_side


def read(folder, lines, **options):
    may_have_ids = options.pop("may_have_ids", True)
    return read_side(lines, "source", str(folder), MiningOptions(**options), "a.txt", may_have_ids)


def test_copies_are_one_row(tmp_path):
    lines = ["b", "a", " b ", "", "Cafe\u0301  x", "a", "Café x", "B!"]
    side = read(tmp_path, lines)
    assert list(side.sentences()) == ["b", "a", "Cafe\u0301  x", "B!"]  # the first copy's text
    assert [side.lines_of(row) for row in range(4)] == [[1, 3], [2, 6], [5, 7], [8]]
    assert side.once.tolist() == [False, False, False, True]
    assert (len(side), side.lines, side.dropped) == (4, 8, {"empty": 1})
    assert side.read(np.array([3, 0])) == (["8", "1"], ["B!", "b"])
    assert list(side.sentences(2)) == ["Cafe\u0301  x", "B!"]


@pytest.mark.parametrize("how, rows", [("loose", 3), ("none", 5), ("equal", 5)])
def test_how_copies_are_found(tmp_path, how, rows):
    assert (
        len(read(tmp_path, ["Hello, you", "hello you!", "HELLO YOU", "?!", "..."], deduplicate=how))
        == rows
    )


def test_none_keeps_equal_lines(tmp_path):
    side = read(tmp_path, ["a", "a"], deduplicate="none")
    assert [side.lines_of(row) for row in range(2)] == [[1], [2]]


def test_many_blocks_against_a_dictionary(tmp_path):
    rng = np.random.default_rng(0)
    lines = [f"x{i}" if i else "" for i in rng.integers(3000, size=20_000)]
    expected = {}
    for number, line in enumerate(lines, start=1):
        if line:
            expected.setdefault(line, []).append(number)
    side = read(tmp_path, iter(lines))
    assert list(side.sentences()) == list(expected)
    assert [side.lines_of(row) for row in range(len(side))] == list(expected.values())
    again = read(tmp_path, iter(["never read"]))  # what an earlier run has read
    assert list(again.sentences()) == list(expected)


def test_ids(tmp_path):
    side = read(tmp_path, ["de-1\tHallo", "de-2\t", "de-3\tHallo", "de-4\tein\tTab"])
    assert side.has_ids and side.read(np.arange(2)) == (["de-1", "de-4"], ["Hallo", "ein Tab"])
    assert side.lines_of(0) == [1, 3]


@pytest.mark.parametrize(
    "lines, message",
    [
        (["1\ta", "b"], r"a.txt:2: expected id TAB sentence, as in line 1, but got 'b'"),
        (["a", "1\tb"], r"a.txt:2: expected no TAB, as in line 1"),
        (["1\ta", "2\tb", "1\tc"], r"a.txt:3: the id of this line occurs twice, first in line 1"),
        ([], r"a.txt: no sentence is left of 0 lines. Give another"),
        (["Hallo\t", "Tom\t"], r"all 2 lines have a TAB, and nothing after it.*remove the TABs"),
        (["", " "], r"no sentence is left of 2 lines \(dropped: 2 empty\)"),
    ],
)
def test_what_is_refused(tmp_path, lines, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, lines)


def test_sentences_of_a_list_have_no_ids(tmp_path):
    side = read(tmp_path, ["1\ta", "two\nlines"], may_have_ids=False)
    assert list(side.sentences()) == ["1 a", "two lines"] and not side.has_ids


def test_filters(tmp_path):
    lines = ["Wie spät ist es?", "ok", "Который час сейчас?", "What is the time now, my friend?"]
    side = read(tmp_path, lines, min_length=3, max_length=20, source_language="deu")
    assert list(side.sentences()) == lines[:1]
    assert side.dropped == {"empty": 0, "length": 2, "language": 1}
    pytest.importorskip("py3langid")
    (tmp_path / "two").mkdir()
    side = read(tmp_path / "two", lines, source_language="de", language_filter="identified")
    assert side.dropped["identification"] == 1 and lines[3] not in side.sentences()
    with pytest.raises(ValueError, match="'xx' is not the code of one"):
        check_filters(MiningOptions(target_language="xx"))


def test_groups_against_a_dictionary():
    numbers = np.random.default_rng(1).integers(50, size=400)
    of, firsts = group_duplicates(digests(map(str, numbers)))
    seen = {}
    assert of.tolist() == [seen.setdefault(n, len(seen)) for n in numbers.tolist()]
    assert firsts.tolist() == [numbers.tolist().index(n) for n in seen]
    assert duplicate_keys(["A b!", "…"], "loose") == ["ab", "…"]
