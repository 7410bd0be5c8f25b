"""Records of WARC, text and tables: the whole is read, the broken is told with its place."""

import gzip
import io
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from warcio import archiveiterator

from labse_tf.crawl.steps.records import Record, Skipped, format_of, read_records
from labse_tf.crawl.steps.warc import read_warc
from tests.crawl.warcs import gzipped, page, record, wet


def read(data, name, longest=100_000, text_field="text", url_field="url"):
    stream = io.BytesIO(data)
    found = read_records(stream, name, longest=longest, text_field=text_field, url_field=url_field)
    return list(found)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_wet_file(compressed):
    texts = ["Hello.\nWorld.", "Grüße.", "x" * 70_000]
    records = [record("warcinfo", "", b"software: x"), *wet(*texts)]
    data = b"".join(gzipped(records) if compressed else records)
    name = "a.warc.wet.gz" if compressed else "a.warc.wet"
    expected = [Record(i + 2, f"http://{i}", t.split("\n")) for i, t in enumerate(texts)]
    assert read(data, name) == expected
    if compressed:  # one member for all records
        assert read(gzip.compress(b"".join(records)), name) == expected


def test_the_same_records_as_warcio():
    rng = random.Random(0)
    texts = ["".join(rng.choices("ab\r\n ü猫", k=rng.randrange(3000))) for _ in range(50)]
    data = b"".join(gzipped(wet(*texts)))
    theirs = [
        (r.rec_headers["WARC-Target-URI"], r.content_stream().read())
        for r in archiveiterator.ArchiveIterator(io.BytesIO(data))
    ]
    ours = [(r.url, r.whole[r.start :]) for r in read_warc(io.BytesIO(data), True, 10**6)]
    assert ours == theirs and len(ours) == 50


@pytest.mark.parametrize("place", ["data", "checksum"])
def test_a_damaged_member_is_one_record(place):
    members = list(map(bytearray, gzipped(wet(*(f"Text {i} of many." * 9 for i in range(6))))))
    at = -7 if place == "checksum" else len(members[2]) // 2
    for i in range(at, at + 3):
        members[2][i] ^= 0x5A
    starts = [sum(map(len, members[:i])) for i in range(6)]
    found = read(b"".join(members), "a.wet.gz")
    assert [r.place for r in found if isinstance(r, Skipped)] == [f"byte {starts[2]}"]
    assert [r.url for r in found if isinstance(r, Record)] == [
        f"http://{i}" for i in (0, 1, 3, 4, 5)
    ]
    assert {r.reason for r in found if isinstance(r, Skipped)} == {"damaged gzip"}


def test_any_damage_costs_few_records():
    """Bits flipped anywhere: other records are read, and nothing is read that was not written."""
    texts = [f"Sentence {i}. " * 5 for i in range(8)]
    data = b"".join(gzipped(wet(*texts)))
    rng = random.Random(1)
    for _ in range(150):
        broken = bytearray(data)
        broken[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        found = read(bytes(broken), "a.wet.gz")
        whole = [r for r in found if isinstance(r, Record)]
        assert 7 <= len(whole) <= 8
        assert len(whole) == 8 or any(isinstance(r, Skipped) for r in found)
        for r in whole:
            assert r.lines == [texts[int(r.url.removeprefix("http://"))]]


def test_a_file_cut_anywhere():
    texts = [f"Sentence {i}." for i in range(4)]
    members = gzipped(wet(*texts))
    data = b"".join(members)
    ends = [sum(map(len, members[: i + 1])) for i in range(4)]
    for cut in range(0, len(data), 7):
        found = read(data[:cut], "a.wet.gz")
        whole = sum(end <= cut for end in ends)
        assert [r.url for r in found if isinstance(r, Record)] == [
            f"http://{i}" for i in range(whole)
        ]
        partly = cut not in (0, *ends)
        assert [type(r) for r in found[whole:]] == [Skipped] * partly


def test_records_without_a_header_or_too_long_are_passed_over():
    good = wet("First.", "Second.", "Third.")
    bad = b"This is no header.\r\nContent-Length: 9\r\n\r\nXXXXXXXXX\r\n\r\n"
    no_length = good[1].replace(b"Content-Length: 7", b"Content-Length: x")
    long = record("conversion", "http://long", b"y" * 300_000)
    found = read(b"".join([good[0], bad, no_length, long, good[2]]), "a.wet")
    starts = [len(good[0]), len(good[0] + bad), len(good[0] + bad + no_length)]
    assert found == [
        Record(1, "http://0", ["First."]),
        Skipped(f"byte {starts[0]}", "no WARC header"),
        Skipped(f"byte {starts[1]}", "no WARC header"),
        Skipped(f"byte {starts[2]}", "too long"),
        Record(5, "http://2", ["Third."]),
    ]


def test_pages_in_several_encodings():
    def html(text, charset=""):
        return f"<html><head>{charset}</head><body><main><p>{text}</p></main></body></html>"

    german, russian = "Grüße aus Köln an alle.", "Кошка сидела на коврике и смотрела в окно."
    chunked = html(german).encode()
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(chunked), chunked)
    records = [
        page("http://a", html(german).encode("latin-1"), "; charset=iso-8859-1"),
        page("http://b", html(russian, "<meta charset='windows-1251'>").encode("cp1251")),
        page("http://c", chunked, "\r\nTransfer-Encoding: chunked"),
        page("http://d", gzip.compress(html(german).encode()), "\r\nContent-Encoding: gzip"),
        page("http://e", html(german).encode(), status="404 Not Found"),
        record("response", "http://f", b"no HTTP", "application/http; msgtype=response"),
        record("conversion", "http://g", b"caf\xe9"),
        page("http://h", html(german).encode("latin-1"), "; charset=utf-8"),
    ]
    found = read(b"".join(gzipped(records)), "a.warc.gz")
    texts = {r.url: [t for t in r.lines if t] for r in found if isinstance(r, Record)}
    assert texts == {
        "http://a": [german],
        "http://b": [russian],
        "http://c": [german],
        "http://d": [german],
        "http://h": [german],  # the header is wrong, the bytes say so
    }
    reasons = [r.reason for r in found if isinstance(r, Skipped)]
    assert reasons == ["no HTTP response", "invalid UTF-8"]


@pytest.mark.parametrize("compressed", [False, True])
def test_lines_of_text(compressed):
    lines = ["\ufeffFirst.".encode(), b"caf\xe9", b"", b"z" * 100_001, b"y" * 100_000, b"Last.\r"]
    data = b"\n".join(lines)
    found = read(gzip.compress(data) if compressed else data, "a.txt" + ".gz" * compressed)
    assert found == [
        Record(1, "", ["First."]),
        Skipped("line 2", "invalid UTF-8"),
        Record(3, "", [""]),
        Skipped("line 4", "too long"),
        Record(5, "", ["y" * 100_000]),
        Record(6, "", ["Last."]),
    ]


def test_a_line_of_100_megabytes_is_not_held():
    class Endless(io.RawIOBase):
        left, largest = 100 * 2**20, 0

        def read(self, size=-1):
            part = b"a" * min(size, self.left)
            self.left -= len(part)
            self.largest = max(self.largest, size)
            return part or (self.end.pop() if self.end else b"")

    stream = Endless()
    stream.end = [b"\nShort."]
    found = list(read_records(stream, "a.txt", longest=2**20, text_field="text", url_field="url"))
    assert found == [Skipped("line 1", "too long"), Record(2, "", ["Short."])]
    assert 0 < stream.largest <= 2**20


def test_a_damaged_gzip_of_text_ends_where_it_is():
    data = gzip.compress(b"".join(b"Line %d.\n" % i for i in range(9)))
    *whole, last = read(data[:-4], "a.txt.gz")
    assert isinstance(last, Skipped) and last.reason == "damaged gzip"
    assert all(r.lines == [f"Line {i}."] for i, r in enumerate(whole))
    assert last.place == f"line {len(whole) + 1}"


def test_json_lines():
    lines = [
        json.dumps({"text": "One.\nTwo.", "url": "http://a"}),
        "{",
        json.dumps({"text": 3}),
        json.dumps(["text"]),
        "",
        '{"text": "half \\ud83d"}',
        json.dumps({"text": "Three."}),
    ]
    assert read("\n".join(lines).encode(), "a.jsonl") == [
        Record(1, "http://a", ["One.", "Two."]),
        Skipped("line 2", "not JSON"),
        Skipped("line 3", "no text field"),
        Skipped("line 4", "no text field"),
        Skipped("line 6", "lone surrogate"),
        Record(7, "", ["Three."]),
    ]


def test_parquet():
    table = pa.table(
        {"content": ["One.", None, "x" * 200_000, "Two."], "at": ["u", "v", "w", None]}
    )
    out = io.BytesIO()
    pq.write_table(table, out)
    fields = {"text_field": "content", "url_field": "at"}
    assert read(out.getvalue(), "a.parquet", **fields) == [
        Record(1, "u", ["One."]),
        Skipped("row 2", "no text field"),
        Skipped("row 3", "too long"),
        Record(4, "", ["Two."]),
    ]
    with pytest.raises(ValueError, match=r"a\.parquet.* no column 'text'.*\['content', 'at'\]"):
        read(out.getvalue(), "a.parquet")
    assert read(out.getvalue()[:-9], "a.parquet") == [Skipped("byte 0", "damaged Parquet")]


def test_formats():
    names = "a.warc.wet.gz a.warc.gz a.wet a.jsonl.gz a.parquet a.txt.gz a.de a".split()
    assert [format_of(name) for name in names] == [
        ("warc", True), ("warc", True), ("warc", False), ("jsonl", True), ("parquet", False),
        ("text", True), ("text", False), ("text", False),
    ]  # fmt: skip
