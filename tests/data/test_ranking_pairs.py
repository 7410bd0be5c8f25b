"""read_pairs and its files: what comes out against what was written, and what is refused."""

import collections
import gzip
import itertools
import os
import warnings

import numpy as np
import pytest
import tensorflow as tf

from labse_tf import Preprocessor, read_pairs
from labse_tf.data.monolingual import find_streams
from labse_tf.data.pair_files import read_columns, scan_pairs
from labse_tf.data.ranking_pairs import divide_rows
from labse_tf.data.regular_files import group_shards
from labse_tf.data.sampling import cap_shares

DIGITS = [f"##{d}" for d in range(10)] + [str(d) for d in range(10)]
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "s", "t", "##x", "a", "b", *DIGITS]


@pytest.fixture(scope="module")
def preprocessor(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in TOKENS))
    return Preprocessor(path, seq_length=32)


def rows(name, count, longest=1):
    """Pairs whose text says which they are; every `longest`-th one is as many words longer."""
    return [(f"s {name} {i}" + " a" * (i % longest), f"t {name} {i}") for i in range(count)]


def write_tsv(path, pairs, extra=""):
    text = "".join(f"{source}\t{target}{extra}\n" for source, target in pairs).encode()
    path.write_bytes(gzip.compress(text) if path.suffix.lower() == ".gz" else text)
    return str(path)


def example(**features):
    return tf.train.Example(
        features=tf.train.Features(
            feature={
                key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
                for key, value in features.items()
            }
        )
    ).SerializeToString(deterministic=True)


def write_tfrecord(path, pairs):
    options = "GZIP" if ".gz" in path.name else ""
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for source, target in pairs:
            writer.write(example(src_raw=source.encode(), tgt_raw=target.encode(), id=b"7"))
    return str(path)


def texts(batch):
    """The sentences of a batch, spelt from their ids: [(source, target)], one a row."""
    sides = []
    for side in batch:
        spelt = []
        for ids, mask in zip(side["input_word_ids"].numpy(), side["input_mask"].numpy()):
            pieces = [TOKENS[i] for i in ids[: mask.sum()]]
            assert pieces[0] == "[CLS]" and pieces[-1] == "[SEP]"
            assert not ids[mask.sum() :].any()
            spelt.append(" ".join(pieces[1:-1]).replace(" ##", ""))
        sides.append(spelt)
    return list(zip(*sides, strict=True))


def take(dataset, batches):
    return [texts(batch) for batch in dataset.take(batches)]


def flat(batches):
    return list(itertools.chain.from_iterable(batches))


@pytest.mark.parametrize(
    "name",
    ["a.tsv", "a.tsv.gz", "a.tfrecord", "a.tfrecord.gz", "a.TSV", "A.TSV.GZ", "a.TFRecord.gz"],
)
def test_every_pair_once_an_epoch(tmp_path, preprocessor, name):
    pairs = rows("a", 60, longest=5)
    write = write_tsv if "tsv" in name.lower() else write_tfrecord
    path = write(tmp_path / name, pairs)
    count, (sampled,) = scan_pairs(path)
    assert list(read_columns(path)) == pairs and count == 60 and sampled in pairs
    first, second = np.split(np.array(flat(take(read_pairs(path, preprocessor, 6), 20))), 2)
    for epoch in (first, second):
        assert sorted(map(tuple, epoch)) == sorted(pairs)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("names", [("a.tsv", "b.tsv.gz"), ("a.tfrecord.gz", "b.tfrecord")])
def test_plain_and_compressed_files_together(tmp_path, preprocessor, names):
    write = write_tsv if "tsv" in names[0] else write_tfrecord
    files = [write(tmp_path / name, rows(name[0], 30)) for name in names]
    found = flat(take(read_pairs(files, preprocessor, 6, exponent=1), 10))
    assert sorted(found) == sorted(rows("a", 30) + rows("b", 30))


def test_a_third_column_carriage_returns_and_no_last_line_feed(tmp_path, preprocessor):
    path = tmp_path / "a.tsv"
    path.write_bytes(b"s a 1\tt a 1\ten\r\ns a 2\tt a 2\tde\r\ns a 3\tt a 3")
    assert sorted(flat(take(read_pairs(path, preprocessor, 3), 1))) == [
        (f"s a {i}", f"t a {i}") for i in (1, 2, 3)
    ]


def test_a_byte_order_mark(tmp_path, preprocessor):
    path = tmp_path / "a.tsv"
    path.write_text("\ufeffs a 1\tt a 1\n", encoding="utf-8")
    assert list(read_columns(path)) == [("s a 1", "t a 1")]
    assert take(read_pairs(path, preprocessor, 1), 1) == [[("s a 1", "t a 1")]]


def test_exponent(tmp_path, preprocessor):
    files = [
        write_tsv(tmp_path / "a.tsv", rows("a", 900)),
        write_tsv(tmp_path / "b.tsv", rows("b", 100)),
    ]
    # n^e: 900 and 100 -> e 1: 0.9; e 0.5: 30 / 40; e 0: a half. 4,000 draws: error below 0.008.
    for exponent, share in ((1.0, 0.9), (0.5, 0.75), (0.0, 0.5)):
        seen = flat(take(read_pairs(files, preprocessor, 100, exponent=exponent), 40))
        counts = collections.Counter(source.split()[1] for source, _ in seen)
        assert counts["a"] / 4000 == pytest.approx(share, abs=0.03)
        # And each file's own pairs come equally often.
        repeats = collections.Counter(source for source, _ in seen if source.startswith("s b"))
        assert max(repeats.values()) - min(repeats.values()) <= 1


def repetitions(batches):
    """Of each batch, how many of its pairs stood in it before."""
    return [len(batch) - len(set(batch)) for batch in batches]


@pytest.mark.parametrize("exponent", [0.0, 0.3, 1.0])
def test_no_pair_meets_its_repetition(tmp_path, preprocessor, exponent):
    files = [
        write_tsv(tmp_path / "a.tsv", rows("a", 1000, longest=9)),
        write_tsv(tmp_path / "b.tsv", rows("b", 10, longest=3)),
    ]
    # A half of each batch would be of 10 pairs, at exponent 0; and epochs end within windows.
    batches = take(read_pairs(files, preprocessor, 32, exponent=exponent), 70)
    assert repetitions(batches) == [0] * 70
    share = np.mean([source.startswith("s b") for source, _ in flat(batches)])
    # n^e / sum; but at 0 not a half: 10 of 32, in 15 of the 16 batches of a window.
    expected = {0.0: 15 / 16 * 10 / 32, 0.3: 1 / (1 + 100**0.3), 1.0: 10 / 1010}
    assert share == pytest.approx(expected[exponent], abs=0.01)


def test_division_by_hand():
    # Repeated are a, three times, and b, twice: dealt out to the batches in turn, in the order of
    # their first place. The others are divided by length: 1 1 | 2 2 | 3 | 4 5... as there is room.
    names = ["a", "p", "b", "q", "a", "r", "s", "b", "a", "t", "u", "v"]
    length = [9, 4, 9, 1, 9, 2, 3, 9, 9, 5, 6, 7]
    divided = divide_rows(tf.constant(names), tf.constant(length, tf.int64), 3)
    got = [[names[i] for i in batch] for batch in divided.numpy()]
    # a a a b b go to batches 0 1 2 0 1, which leaves room for 2, 2 and 3 of q r s p t u v.
    assert got == [["q", "r", "a", "b"], ["s", "p", "a", "b"], ["t", "u", "v", "a"]]


def test_shares_by_hand():
    # 0.6 is cut to 0.2: the others grow from 0.3 and 0.1 to 0.6 and 0.2; 0.6 is cut to 0.5.
    got = cap_shares(np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.5, 9.0]))
    assert got == pytest.approx([0.2, 0.5, 0.3])
    assert cap_shares(np.array([0.6, 0.4]), np.array([0.6, 0.5])) == pytest.approx([0.6, 0.4])


def test_zeros_behind_a_gzip(tmp_path, preprocessor):
    path = tmp_path / "a.tsv.gz"
    text = "".join(f"s a {i}\tt a {i}\n" for i in range(50)).encode()
    two_members = gzip.compress(text) + gzip.compress(text)
    assert two_members.endswith(b"\0")  # of the size of the text
    path.write_bytes(two_members)
    assert len(take(read_pairs(path, preprocessor, 50), 2)) == 2
    for zeros in (1, 500):
        path.write_bytes(two_members + bytes(zeros))
        with pytest.raises(ValueError, match=rf"{path}.*zeros follow .*zcat"):
            read_pairs(path, preprocessor, 50)
        with pytest.raises(ValueError, match="zeros follow"):  # of text, too
            find_streams([path], preprocessor)


def test_sentences_that_are_cut(tmp_path, preprocessor):
    # [CLS] s a 7 and the words a [SEP]: 5 and as many tokens, of which 32 fit.
    lines = [("s a 7" + " a" * n, "t a 7") for n in (3, 27, 28, 90)]
    path = write_tsv(tmp_path / "a.tsv", lines)
    with pytest.warns(UserWarning, match=r"About 25.00% .* sample of 8\) .* \(=32\) tokens"):
        read_pairs(path, preprocessor, 2, figures=(figures := {}))
    assert figures == {"cut_sentences": 0.25}
    # Joined, a pair has 4 tokens for "t a 7" and a [SEP] as well: 5 + 3 + 4, ...
    with pytest.warns(UserWarning, match=r"About 75.00% of the pairs .* of 4\) .* tokens together"):
        read_pairs(path, preprocessor, 2, joined=True, figures=figures)
    assert figures["cut_pairs"] == 0.75
    path = write_tsv(tmp_path / "b.tsv", lines[:2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_pairs(path, preprocessor, 2, figures=figures)
    assert figures["cut_sentences"] == 0


def test_shards_are_one_file(tmp_path, preprocessor):
    files = [
        write_tfrecord(tmp_path / f"a.tfrecord-{i:05}-of-00003", rows(f"a {i}", 30))
        for i in range(3)
    ]
    other = write_tfrecord(tmp_path / "b.tfrecord", rows("b", 30))
    assert group_shards([*files, other]) == [files, [other]]
    seen = flat(take(read_pairs([*files, other], preprocessor, 20, exponent=0.0), 50))
    assert np.mean([source.startswith("s b") for source, _ in seen]) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_empty_shards_are_left_out(tmp_path, preprocessor, ending):
    lines = [f"{source}\t{target}\n" for source, target in rows("a", 30)]
    data = ["".join(lines).encode(), b"", b""]
    paths = [tmp_path / f"a.tsv-{i:05}-of-00003{ending}" for i in range(3)]
    for path, text in zip(paths, data):
        path.write_bytes(gzip.compress(text) if ending else text)
    paths[2].write_bytes(b"")
    with pytest.warns(UserWarning, match="00002-of-00003.* is empty. It is left out"):
        assert len(flat(take(read_pairs(paths, preprocessor, 10), 3))) == 30
    with pytest.warns(UserWarning, match="00002-of-00003.* is empty. It is left out"):
        streams = find_streams(paths, preprocessor)
    assert [(stream.kind, stream.count) for stream in streams] == [("sources", 30), ("targets", 30)]
    with pytest.raises(ValueError, match="is empty"):
        read_pairs(paths[1:], preprocessor, 10)


def test_seed_decides_and_nothing_else(tmp_path, preprocessor):
    path = write_tsv(tmp_path / "a.tsv", rows("a", 200, longest=6))
    first = take(read_pairs(path, preprocessor, 8, seed=1), 30)
    tf.random.set_seed(77)
    assert take(read_pairs([path], preprocessor, 8, seed=1), 30) == first
    assert take(read_pairs([path], preprocessor, 8, seed=2), 30) != first


def test_skipping_is_going_on(tmp_path, preprocessor):
    files = [
        write_tsv(tmp_path / "a.tsv", rows("a", 90, longest=7)),
        write_tsv(tmp_path / "b.tsv", rows("b", 40, longest=3)),
    ]
    options = {"exponent": 0.3, "shuffle_buffer": 50, "window": 4}
    whole = take(read_pairs(files, preprocessor, 8, **options), 70)
    for skip in (1, 7, 25, 61):
        rest = take(read_pairs(files, preprocessor, 8, skip=skip, **options), 9)
        assert rest == whole[skip : skip + 9], skip


def test_workers_share_every_file(tmp_path, preprocessor):
    files = [
        write_tsv(tmp_path / "a.tsv", rows("a", 64, longest=5)),
        write_tsv(tmp_path / "b.tsv", rows("b", 32)),
    ]
    seen, widths = [], []
    for worker in range(2):
        context = tf.distribute.InputContext(2, worker, 4)
        dataset = read_pairs(files, preprocessor, 16, input_context=context)
        batches = list(dataset.take(8))  # 2 replicas a worker, 4 pairs each, 4 steps
        assert all(batch[0]["input_word_ids"].shape[0] == 4 for batch in batches)
        widths.append([int(batch[0]["input_word_ids"].shape[1]) for batch in batches])
        seen.append(set(flat(map(texts, batches))))
    assert not seen[0] & seen[1]
    for own in widths:  # the replicas of a worker get equal widths
        assert own[0::2] == own[1::2]


def test_width_is_what_the_longest_needs(tmp_path, preprocessor):
    path = write_tsv(tmp_path / "a.tsv", rows("a", 300, longest=40))
    padding = {}
    for window in (1, 16):
        used = room = 0
        for batch in read_pairs(path, preprocessor, 10, window=window).take(30):
            masks = np.stack([side["input_mask"] for side in batch])
            longest, width = masks.sum(-1).max(), masks.shape[-1]
            assert width == min(32, -(-longest // 8) * 8)
            used, room = used + masks[0].sum(), room + masks[0].size
        padding[window] = 1 - used / room
    assert padding[16] < 0.6 * padding[1]
    batch = next(iter(read_pairs(path, preprocessor, 10, static_width=True)))
    assert batch[0]["input_word_ids"].shape == batch[1]["input_mask"].shape == (10, 32)
    spec = read_pairs(path, preprocessor, 10, static_width=True).element_spec
    assert spec[0]["input_word_ids"].shape == [10, 32]


GOOD = b"s\tt\n" * 3


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        (GOOD + b"alone\n", 4, "got 1"),
        (GOOD + b"a\tb\tc\td\n" + GOOD, 4, "got 4"),
        (GOOD + b"na\xefve\tb\n", 4, "invalid UTF-8"),
        (GOOD * 30_000 + b"a\tna\xefve\n", 90_001, "invalid UTF-8"),
        (GOOD + b"\n", 4, "got 1"),
        (b"a\t\n", 1, "target is empty"),
        (GOOD + b" \tb\n", 4, "source is empty"),
    ],
)
@pytest.mark.parametrize("name", ["bad.tsv", "bad.tsv.gz"])
def test_a_bad_line_is_named(tmp_path, preprocessor, name, content, line, said):
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(ValueError, match=said) as error:
        read_pairs(path, preprocessor, 2)
    assert str(error.value).startswith(f"{path}:{line}:")


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (example(src_raw=b"a"), "'tgt_raw'"),
        (example(src_raw=b"a", tgt_raw=b"na\xefve"), "invalid UTF-8 in 'tgt_raw'"),
        (example(src_raw=b"", tgt_raw=b"b"), "source is empty"),
        (b"\xff\xff", "not a tf.train.Example"),
    ],
)
def test_a_bad_record_is_named(tmp_path, preprocessor, record, said):
    path = tmp_path / "bad.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(example(src_raw=b"a", tgt_raw=b"b"))
        writer.write(record)
    with pytest.raises(ValueError, match=said) as error:
        read_pairs(path, preprocessor, 2)
    assert str(error.value).startswith(f"{path}: record 2:")


def test_damaged_files(tmp_path, preprocessor):
    zipped = tmp_path / "cut.tsv.gz"
    rng = np.random.default_rng(0)
    lines = [f"s {n}\tt {n}\n".encode() for n in rng.integers(10**9, size=50_000)]
    zipped.write_bytes(gzip.compress(b"".join(lines))[:-5000])
    with pytest.raises(ValueError, match="damaged or cut short"):
        read_pairs(zipped, preprocessor, 2)
    records = tmp_path / "cut.tfrecord"
    write_tfrecord(records, rows("a", 50))
    records.write_bytes(records.read_bytes()[:-7])
    with pytest.raises(ValueError, match=r"cut.tfrecord: record 50: .*damaged or cut short"):
        read_pairs(records, preprocessor, 2)


@pytest.mark.parametrize("left", [0, 20, 70])
def test_a_file_that_is_replaced_meanwhile(tmp_path, preprocessor, left):
    """An epoch of other rows is an error; one of none was repeated for ever."""
    path = write_tsv(tmp_path / "a.tsv.gz", rows("a", 40))
    batches = read_pairs(path, preprocessor, 8)
    write_tsv(tmp_path / "a.tsv.gz", rows("a", left))
    with pytest.raises(tf.errors.FailedPreconditionError, match="expected to contain 40 elements"):
        take(batches, 11)


def test_files_that_are_not_there_empty_or_unlike(tmp_path, preprocessor):
    good = write_tsv(tmp_path / "good.tsv", rows("a", 5))
    empty = write_tsv(tmp_path / "empty.tsv", [])
    other = write_tfrecord(tmp_path / "other.tfrecord", rows("a", 5))
    with pytest.raises(FileNotFoundError, match=r"absent.tsv.*does not exist"):
        read_pairs([good, tmp_path / "absent.tsv"], preprocessor, 2)
    os.mkfifo(tmp_path / "pipe.tsv")
    with pytest.raises(FileNotFoundError, match=r"pipe.tsv' is a pipe, .*copy it to a file"):
        read_pairs([good, tmp_path / "pipe.tsv"], preprocessor, 2)
    with pytest.raises(ValueError, match=r"empty.tsv.*is empty"):
        read_pairs([good, empty], preprocessor, 2)
    with pytest.raises(ValueError, match="differ in format"):
        read_pairs([good, other], preprocessor, 2)
    with pytest.raises(ValueError, match="does not say its format"):
        read_pairs([tmp_path / "pairs.txt"], preprocessor, 2)
    with pytest.raises(ValueError, match="No files"):
        read_pairs([], preprocessor, 2)
    with pytest.raises(ValueError, match="hold 5 pairs, fewer than one global batch of 6"):
        read_pairs(good, preprocessor, 6)
    with pytest.raises(ValueError, match=r"`batch_size` \(=5\).*replicas \(=2\)"):
        context = tf.distribute.InputContext(1, 0, 2)
        read_pairs(good, preprocessor, 5, input_context=context)
    with pytest.raises(ValueError, match=r"`exponent` \(=-1\)"):
        read_pairs(good, preprocessor, 2, exponent=-1)
