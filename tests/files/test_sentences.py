"""Sentences in columns and fields: what is read, and what is said of what cannot be."""

import gzip

import pytest

from labse_tf.files.sentences import read_column, read_field


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
        (read_field, "text", '{"text": "a"}\n\n', ":2: not JSON"),
        (read_field, "text", '["text"]\n', ":1: there is no field 'text'"),
        (read_field, "text", '{"text": null}\n', ":1: 'text' is no string, but None"),
    ],
)
def test_lines_without_a_sentence(tmp_path, read, which, content, said):
    path = tmp_path / "file"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"{path}{said}"):
        list(read(path, which))


def test_there_is_no_column_0(tmp_path):
    with pytest.raises(ValueError, match=r"`column` \(=0\) must be at least 1"):
        read_column(tmp_path / "file", 0)
