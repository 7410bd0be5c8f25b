"""read_masked: what stands in its batches against the files; shares, skipping, workers."""

import collections
import gzip
import itertools

import numpy as np
import pytest
import tensorflow as tf

from labse_tf import Preprocessor
from labse_tf.data.masked_text import read_masked
from labse_tf.data.masking import Masking
from labse_tf.data.monolingual import TEXT, read_side
from labse_tf.data.texts import read_sentences
from tests.data.test_ranking_pairs import write_tfrecord

WIDTH = 32
DIGITS = [f"##{d}" for d in range(10)]
LANGUAGES = ["a", "b", "s", "t", "u"]
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LANGUAGES, *DIGITS, "long"]


@pytest.fixture(scope="module")
def preprocessor(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in TOKENS))
    return Preprocessor(path, seq_length=WIDTH)


def sentences(language, count):
    """The first word tells which one it is; up to three more are behind it."""
    return [f"{language}{i:04}" + " long" * (i % 4) for i in range(count)]


def write_text(path, lines):
    text = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return str(path)


def write_pairs(path, source, target, count):
    pairs = zip(sentences(source, count), sentences(target, count))
    return write_text(path, [f"{s}\t{t}" for s, t in pairs])


def unmasked(batch):
    """The ids before masking, as lists without padding, and the type ids."""
    batch = {name: tensor.numpy() for name, tensor in batch.items()}
    ids, used = batch["input_word_ids"], batch["masked_lm_weights"] > 0
    rows, slots = np.nonzero(used)
    ids[rows, batch["masked_lm_positions"][rows, slots]] = batch["masked_lm_ids"][rows, slots]
    lengths, types = batch["input_mask"].sum(1), batch["input_type_ids"]
    return [(row[:n].tolist(), kind[:n].tolist()) for row, kind, n in zip(ids, types, lengths)]


def segments(batch):
    """Each row as the sentences between its special tokens."""
    for ids, _ in unmasked(batch):
        tokens = [TOKENS[i] for i in ids]
        assert tokens[0] == "[CLS]" and tokens[-1] == "[SEP]"
        yield " ".join(tokens[1:-1]).replace(" ##", "").split("[SEP]")


def read(text, pairs, preprocessor, batch_size=8, **options):
    options = {"window": 4, "shuffle_buffer": 500, **options}
    return read_masked(text, pairs, preprocessor, Masking(preprocessor), batch_size, **options)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    blank = itertools.chain.from_iterable(zip(sentences("b", 100), [""] * 100))
    return {
        "a": write_text(folder / "a.txt", sentences("a", 300)),
        "b": write_text(folder / "b.txt.gz", blank),
        "s": write_pairs(folder / "s-t.tsv", "s", "t", 100),
        "u": write_pairs(folder / "u-t.tsv", "u", "t", 80),
    }


def same(a, b):
    return all((a[name].numpy() == b[name].numpy()).all() for name in a)


def test_text_is_packed_without_padding(files, preprocessor):
    seen, rows, pure = collections.Counter(), 0, 0
    known = set(sentences("a", 300) + sentences("b", 100))
    for batch in read([files["a"], files["b"]], [], preprocessor, tlm_share=0).take(60):
        assert batch["input_word_ids"].shape == [8, WIDTH]
        assert batch["input_mask"].numpy().all() and not batch["input_type_ids"].numpy().any()
        # 30 tokens, of which some are [SEP]; 0.15 of 20 to 30 are 3 to 5.
        assert set(batch["masked_lm_weights"].numpy().sum(1)) <= {3, 4, 5}
        for row in segments(batch):
            row = [text.strip() for text in row]
            rows += 1
            pure += len({text[0] for text in row if text and text[0] in "ab"}) == 1
            assert all(text in known for text in row[1:-1])  # only the ends of a row are cut
            seen.update(row[1:-1])
    # A sentence and its [SEP] have 6 to 9 tokens, so 480 rows of 30 have some 1,900, of which each
    # row cuts one or two: 4.75 epochs of 400 and the 5% that are left out, and so 6 times at most.
    assert len(seen) > 0.9 * len(known) and max(seen.values()) <= 6
    assert sum(seen[s] for s in seen if s[0] == "a") / seen.total() == pytest.approx(0.75, abs=0.03)
    # Of 32 rows that are packed together two hold the ends of both languages.
    assert pure / rows > 0.9


def test_share_of_tlm_and_its_form(files, preprocessor):
    arguments = [files["a"]], [files["s"], files["u"]]
    dataset = read(*arguments, preprocessor, tlm_share=0.25, figures=(figures := {}))
    assert figures == {"cut_pairs": 0}
    assert {name: tuple(spec.shape) for name, spec in dataset.element_spec.items()} == {
        **dict.fromkeys(("input_word_ids", "input_mask", "input_type_ids"), (8, WIDTH)),
        **dict.fromkeys(("masked_lm_positions", "masked_lm_ids", "masked_lm_weights"), (8, 5)),
    }
    pairs = set(zip(sentences("s", 100), sentences("t", 100)))
    pairs |= set(zip(sentences("u", 80), sentences("t", 80)))
    masked = np.zeros(2)
    for batch in dataset.take(30):
        rows = list(segments(batch))
        assert not batch["input_type_ids"].numpy()[:6].any()
        for (ids, types), row in zip(unmasked(batch)[6:], rows[6:]):
            source, target = (text.strip() for text in row)
            assert (source, target) in pairs
            middle = ids.index(3) + 1
            assert types == [0] * middle + [1] * (len(ids) - middle)
        places, used = batch["masked_lm_positions"].numpy(), batch["masked_lm_weights"].numpy() > 0
        kinds = np.take_along_axis(batch["input_type_ids"].numpy(), places, axis=1)
        masked += [(kinds[6:][used[6:]] == kind).sum() for kind in (0, 1)]
    assert masked.min() > 0.35 * masked.sum()


def test_tlm_alone_is_as_wide_as_it_needs(files, preprocessor):
    batch = next(iter(read([], [files["s"]], preprocessor, tlm_share=1.0)))
    longest = batch["input_mask"].numpy().sum(1).max()
    assert batch["input_word_ids"].shape == [8, -(-longest // 8) * 8]
    assert batch["input_word_ids"].shape[1] < WIDTH
    static = read([], [files["s"]], preprocessor, tlm_share=1.0, static_width=True)
    assert static.element_spec["input_word_ids"].shape == [8, WIDTH]


@pytest.mark.parametrize("kind", ["tsv", "tfrecord"])
def test_sides_of_pairs_are_text(files, preprocessor, tmp_path, kind):
    pairs = [files["s"]]
    if kind == "tfrecord":
        both = zip(sentences("s", 100), sentences("t", 100))
        pairs = [write_tfrecord(tmp_path / "s-t.tfrecord", both)]
    seen = set()
    for batch in read([files["a"], *pairs], [], preprocessor, tlm_share=0, exponent=0).take(60):
        for row in segments(batch):
            seen.update(text.strip() for text in row[1:-1])
    # All files alike: 630 sentences of each, most of them whole.
    assert seen <= set(sentences("a", 300) + sentences("s", 100) + sentences("t", 100))
    for language in ("s", "t"):
        assert sum(sentence[0] == language for sentence in seen) > 95


@pytest.mark.parametrize(("exponent", "share"), [(1.0, 0.75), (0.5, 0.634), (0.0, 0.5)])
def test_exponent(preprocessor, tmp_path, exponent, share):
    # 300 and 100 sentences of equal length: 3 / 4; sqrt 3 / (1 + sqrt 3) = 0.634; a half.
    files = [
        write_text(tmp_path / f"{name}.txt", [f"{name}{i:04} long" for i in range(count)])
        for name, count in (("a", 300), ("b", 100))
    ]
    count = collections.Counter()
    for batch in read(files, [], preprocessor, tlm_share=0, exponent=exponent).take(150):
        count.update(t.strip()[0] for row in segments(batch) for t in row[1:-1])
    # 150 * 8 * 30 / 7 = 5,100 sentences: a standard deviation of 0.007.
    assert count["a"] / count.total() == pytest.approx(share, abs=0.03)


def test_skipping_is_going_on(files, preprocessor):
    # Sampling over several files of pairs is skipped in test_ranking_pairs.
    arguments = [files["a"], files["b"]], [files["s"]], preprocessor
    options = dict(exponent=0.5, shuffle_buffer=60, seed=4)
    whole = list(read(*arguments, **options).take(26))
    tf.random.set_seed(5)
    for skip in (6, 23):
        going_on = list(read(*arguments, skip=skip, **options).take(3))
        assert all(map(same, whole[skip : skip + 3], going_on))
    first = next(iter(read(*arguments, **{**options, "seed": 5})))
    assert not (first["input_word_ids"].numpy() == whole[0]["input_word_ids"].numpy()).all()


def test_masks_change_from_epoch_to_epoch(preprocessor, tmp_path):
    path = write_text(tmp_path / "a.txt", ["a0 long long long"])
    batches = list(read([path], [], preprocessor, tlm_share=0, window=1).take(20))
    places = {tuple(x) for batch in batches for x in batch["masked_lm_positions"].numpy()}
    assert len(places) > 140  # of 160


def test_workers_share_the_text(files, preprocessor):
    arguments = [files["a"], files["b"]], [files["s"]], preprocessor
    seen = []
    for worker in range(2):
        context = tf.distribute.InputContext(2, worker, 4)
        options = dict(batch_size=16, input_context=context, tlm_share=0.25)
        batches = list(read(*arguments, **options).take(14))
        assert all(batch["input_word_ids"].shape == [4, WIDTH] for batch in batches)
        rows = [row for batch in batches for row in list(segments(batch))]
        seen.append({text.strip() for row in rows for text in row[1:-1] if len(row) > 2})
        # Two elements a step; skipping 5 steps passes over 10.
        assert all(map(same, batches[10:], read(*arguments, skip=5, **options).take(4)))
    assert seen[0] and not seen[0] & seen[1]


def test_what_is_refused(files, preprocessor, tmp_path):
    a, s = [files["a"]], [files["s"]]
    with pytest.raises(ValueError, match=r"`tlm_share` \(=0.5\) needs files of `pairs`"):
        read(a, [], preprocessor, tlm_share=0.5)
    with pytest.raises(ValueError, match=r"`tlm_share` \(=0\) needs files of `text`"):
        read([], s, preprocessor, tlm_share=0)
    with pytest.raises(ValueError, match=r"`tlm_share` \(=0.05\) of a replica's 8 sequences is 0"):
        read(a, s, preprocessor, tlm_share=0.05)
    with pytest.raises(ValueError, match=r"`tlm_share` \(=1.5\)"):
        read(a, s, preprocessor, tlm_share=1.5)
    with pytest.raises(ValueError, match=r"`skip` \(=-1\)"):
        read(a, s, preprocessor, skip=-1)
    with pytest.raises(ValueError, match=r"`batch_size` \(=8\).*replicas \(=3\)"):
        read(a, s, preprocessor, input_context=tf.distribute.InputContext(1, 0, 3))
    with pytest.raises(FileNotFoundError, match=r"no text '.*absent.txt'"):
        read([tmp_path / "absent.txt"], s, preprocessor)
    with pytest.raises(ValueError, match=r"blank.txt'.*no text"):
        read([write_text(tmp_path / "blank.txt", ["", " "])], s, preprocessor)
    with pytest.raises(ValueError, match=r"empty.txt' is empty"):
        read([write_text(tmp_path / "empty.txt", [])], s, preprocessor)
    (tmp_path / "bad.txt").write_bytes(b"a0\nna\xefve\n")
    with pytest.raises(ValueError, match=r"bad.txt:2: invalid UTF-8"):
        read([tmp_path / "bad.txt"], s, preprocessor)
    with pytest.raises(ValueError, match=r"bad.tsv:1: expected 2 columns"):
        read([write_text(tmp_path / "bad.tsv", ["a"])], s, preprocessor)


def test_capitals(tmp_path, preprocessor):
    """A text, and pairs, as of `find_streams` and of other readers of text."""
    (tmp_path / "A.TXT.GZ").write_bytes(gzip.compress(b"a0001 long\n" * 20))
    (tmp_path / "S-T.TSV").write_text("s0001\tt0001\n" * 20)
    files = [tmp_path / name for name in ("A.TXT.GZ", "S-T.TSV")]
    batch = next(iter(read(files, [], preprocessor, tlm_share=0, exponent=0)))
    seen = {text.strip() for row in segments(batch) for text in row[1:-1]}
    assert seen == {"a0001 long", "s0001", "t0001"}
    assert set(read_sentences(tmp_path / "S-T.TSV")) == {"s0001", "t0001"}


def test_plain_and_compressed_pairs_together(tmp_path, preprocessor):
    """The targets of both files are one stream."""
    (tmp_path / "a.tsv").write_text("s0001\tt0001\n" * 20)
    (tmp_path / "b.tsv.gz").write_bytes(gzip.compress(b"s0002\tt0002\n" * 20))
    (tmp_path / "c.tsv").write_text("s0003\tt0003\n" * 20)
    files = [tmp_path / name for name in ("a.tsv", "b.tsv.gz", "c.tsv")]
    seen = set()
    for batch in read(files, [], preprocessor, tlm_share=0, exponent=0).take(4):
        seen |= {t.strip() for row in segments(batch) for t in row[1:-1]}
    assert seen == {f"{side}000{i}" for side in "st" for i in (1, 2, 3)}


def test_standard_input_and_more_workers_than_sentences(preprocessor, tmp_path):
    with pytest.raises(ValueError, match="Standard input can be read only once"):
        read_side("-", TEXT)
    (tmp_path / "eng.txt").write_text("The cat sat.\n")
    context = tf.distribute.InputContext(2, 0, 2)
    with pytest.raises(ValueError, match="1 sentences, fewer than there are workers"):
        read_masked(
            [str(tmp_path / "eng.txt")], [], preprocessor, Masking(preprocessor), 4,
            tlm_share=0, input_context=context,
        )  # fmt: skip
