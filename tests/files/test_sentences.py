"""Sentences in columns and fields: what is read, and what is said of what cannot be."""

import gzip

import pytest

from labse_tf.files.lines import read_lines
from labse_tf.files.sentences import in_utf8, read_column, read_field


def test_columns_and_fields(tmp_path):
    (tmp_path / "a.tsv").write_bytes("1\tä b\r\n2\t\n3\tc\td".encode())
    assert list(read_column(tmp_path / "a.tsv", 1)) == ["1", "2", "3"]
    assert list(read_column(tmp_path / "a.tsv", 2)) == ["ä b", "", "c"]
    lines = '{"id": 1, "text": "\\u00e4\\tb"}\n{"text": "", "x": [1]}\n'
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    assert list(read_field(tmp_path / "a.jsonl.gz", "text")) == ["ä\tb", ""]


@pytest.mark.parametrize(
    ("read", "which", "content", "said"),
    [
        (read_column, 2, "a\tb\nc\n", r":2: there is no column 2, only 1: 'c'"),
        (read_field, "text", '{"text": "a"}\n{"txt": "b"}\n', ":2: there is no field 'text' in"),
        (read_field, "text", '{"text": "a"}\n\n{"text": "b"}', ":2: not JSON"),
        (read_column, 2, "a\tb\n\nc\td\n\n", ":2: there is no column 2, only 1: ''"),
        (read_field, "text", '{"text": "a"}\n{"text": "b \\ud83d"}', ":2: 'text' holds the lone"),
        (read_field, "text", '["text"]\n', ":1: there is no field 'text'"),
        (read_field, "text", '{"text": null}\n', ":1: 'text' is no string, but None"),
    ],
)
def test_lines_without_a_sentence(tmp_path, read, which, content, said):
    path = tmp_path / "file"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"{path}{said}"):
        list(read(path, which))


def test_a_byte_order_mark_and_empty_lines_at_the_end(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b'\xef\xbb\xbf{"text": "Hello"}\n{"text": "\xef\xbb\xbfHallo"}\n\r\n\n')
    assert list(read_field(path, "text")) == ["Hello", "\ufeffHallo"]
    path.write_bytes(b"\xef\xbb\xbfa\tb\n\n\xef\xbb\xbfc\td\n\n\n")
    assert list(read_column(path, 1)) == ["a", "", "\ufeffc"]
    assert list(read_lines(path)) == ["a\tb", "", "\ufeffc\td", "", ""]


def test_lone_surrogates_are_replaced_and_pairs_are_characters(tmp_path):
    path = tmp_path / "file"
    path.write_text('{"text": "a \\ud83d"}\n{"text": "\\ud83d\\ude00 \\ude00\\ud83d"}\n')
    assert list(read_field(path, "text", "replace")) == ["a \ufffd", "\U0001f600 \ufffd\ufffd"]


def test_there_is_no_column_0(tmp_path):
    with pytest.raises(ValueError, match=r"`column` \(=0\) must be at least 1"):
        read_column(tmp_path / "file", 0)


class Frame:
    """Iterates over the names of its columns, as tables of pandas and polars do."""

    columns = ("text", "label")

    def __iter__(self):
        return iter(self.columns)


@pytest.mark.parametrize("sentences", [{"text": ["a", "b"]}, Frame()])
def test_a_table_is_not_a_list_of_sentences(sentences):
    """The names of its columns would be embedded."""
    with pytest.raises(TypeError, match=r"it is a (dict|Frame). Choose one column or key"):
        in_utf8(sentences)
