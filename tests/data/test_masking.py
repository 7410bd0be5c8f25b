"""Masking: counts against the definition; what is never masked; whole words; seeds."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from labse_tf import Preprocessor
from labse_tf.data.masking import Masking
from tests.conftest import SENTENCES

INPUTS = ("input_word_ids", "input_mask", "input_type_ids")


@pytest.fixture(scope="module")
def preprocessor(tmp_path_factory):
    """40 whole words w0 ... w39, each of which can go on with ##0 ... ##9; two unused ones."""
    tokens = ["w0", "[SEP]", "[unused1]", "[UNK]", "[CLS]", "[PAD]", "[MASK]", "[unused2]"]
    tokens += [f"w{i}" for i in range(1, 40)] + [f"##{i}" for i in range(10)]
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join(tokens) + "\n")
    return Preprocessor(path, seq_length=128)


def special_ids(preprocessor):
    p = preprocessor
    unknown = 3
    return {p.start_id, p.end_id, p.padding_id, p.mask_id, unknown}


def random_rows(preprocessor, rows, width, lengths=None, seed=0):
    """[CLS] pieces [SEP] padding, the pieces any word pieces."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(8, preprocessor.vocab_size, [rows, width]).astype(np.int32)
    lengths = np.full(rows, width) if lengths is None else np.asarray(lengths)
    mask = (np.arange(width) < lengths[:, None]).astype(np.int32)
    ids[:, 0] = preprocessor.start_id
    ids[np.arange(rows), lengths - 1] = preprocessor.end_id
    ids = np.where(mask, ids, preprocessor.padding_id).astype(np.int32)
    return dict(zip(INPUTS, map(tf.constant, (ids, mask, np.zeros_like(mask)))))


def numpy(tensors):
    return {name: np.array(tensor) for name, tensor in tensors.items()}


def in_a_graph(masking):
    """The same as a function of arrays, many times faster."""
    function = tf.function(masking)

    def call(before, seed):
        tensors = {name: tf.constant(values) for name, values in before.items()}
        return numpy(function(tensors, tf.constant(seed, tf.int64)))

    return call


def replaced(before, masked):
    """(places drawn [batch, width], what stands in them now, what stood there), with checks."""
    ids, new = before["input_word_ids"], masked["input_word_ids"]
    drawn = np.zeros(ids.shape, bool)
    for row in range(len(ids)):
        used = masked["masked_lm_weights"][row] == 1
        assert not np.diff(used.astype(int)).clip(0).any()  # those used come first
        places = masked["masked_lm_positions"][row][used]
        assert (np.diff(places) > 0).all()
        drawn[row, places] = True
        np.testing.assert_array_equal(masked["masked_lm_ids"][row][used], ids[row, places])
        assert not masked["masked_lm_ids"][row][~used].any()
        assert not masked["masked_lm_positions"][row][~used].any()
    np.testing.assert_array_equal(new[~drawn], ids[~drawn])
    for name in INPUTS[1:]:
        np.testing.assert_array_equal(masked[name], before[name])
    return drawn, new[drawn], ids[drawn]


@pytest.mark.parametrize("whole_words", [False, True])
def test_how_many_are_masked(preprocessor, whole_words):
    # Of n pieces 0.15 n, rounded, at least 1, at most 12 (and so 12 from n = 77 on):
    #   n        1    2    9   10   16   17   40   83  126
    #   0.15 n  .15  .3  1.35 1.5  2.4 2.55  6.0 12.45 18.9
    pieces = [1, 2, 9, 10, 16, 17, 40, 83, 126, 0]
    expected = [1, 1, 1, 2, 2, 3, 6, 12, 12, 0]
    before = random_rows(preprocessor, len(pieces), 128, np.array(pieces) + 2)
    if whole_words:  # of one piece each, so that every number of pieces can be reached
        ids = before["input_word_ids"]
        before["input_word_ids"] = tf.where(ids >= 47, ids - 20, ids)
    masking = Masking(preprocessor, max_predictions=12, whole_words=whole_words)
    masked = masking(before, [1, 2])
    assert masked["masked_lm_weights"].shape == masked["masked_lm_ids"].shape == [10, 12]
    drawn, _, _ = replaced(numpy(before), numpy(masked))
    assert drawn.sum(1).tolist() == expected


def test_what_stands_in_their_places(preprocessor):
    # 2,000 rows of 126 pieces: 0.15 * 126 = 18.9, so 19 of each, 38,000 in all. A share p of them
    # has a standard deviation of sqrt(p (1 - p) / 38,000): 0.0021 for 0.8, 0.0015 for 0.1. Of the
    # 57 tokens 5 are special and 2 unused; so a random piece is the old one once in 50 times.
    before = numpy(random_rows(preprocessor, 2000, 128))
    masked = numpy(Masking(preprocessor)(before, tf.constant([5, 6])))
    drawn, new, old = replaced(before, masked)
    assert drawn.sum() == 38_000
    is_mask, is_old = new == preprocessor.mask_id, new == old
    assert is_mask.mean() == pytest.approx(0.8, abs=0.008)
    assert is_old.mean() == pytest.approx(0.1 + 0.1 / 50, abs=0.006)
    others = collections.Counter(new[~is_mask & ~is_old].tolist())
    # Every piece that may come does, about equally often: 38,000 * 0.1 / 50 = 76, deviation 9.
    may_come = set(range(preprocessor.vocab_size)) - special_ids(preprocessor) - {2, 7}
    assert set(others) == may_come and len(may_come) == 50
    assert 40 < min(others.values()) and max(others.values()) < 120
    # And every place is drawn equally often: 38,000 / 126 = 302 times, deviation 16.
    places = drawn.sum(0)
    assert places[0] == places[127] == 0
    assert 230 < places[1:127].min() and places[1:127].max() < 380


@pytest.mark.parametrize("whole_words", [False, True])
def test_special_tokens_are_never_drawn(vocab_file, whole_words):
    preprocessor = Preprocessor(vocab_file, 64)
    sentences = [*SENTENCES, "xyz § the § Tom", "§", "[MASK] the", "green [SEP] s"]
    before = numpy(preprocessor(tf.constant(sentences)))
    masking = in_a_graph(
        Masking(preprocessor, mask_rate=0.9, max_predictions=60, whole_words=whole_words)
    )
    special = {preprocessor.start_id, preprocessor.end_id, preprocessor.padding_id}
    special |= {preprocessor.mask_id, 3}
    assert (before["input_word_ids"] == 3).any()
    came = set()
    for number in range(100):
        masked = masking(before, [number, 0])
        _, new, old = replaced(before, masked)
        assert not special & set(old.tolist())
        came |= set(new.tolist())
    assert special & came == {preprocessor.mask_id}


@pytest.mark.parametrize("whole_words", [False, True])
def test_both_segments_of_a_pair(preprocessor, whole_words):
    sides = ["w1 w100 w2 w3", "w4 w200 w5 w6"], ["w7 w300 w8 w9", "w11 w120 w13 w14"]
    segments = [preprocessor.word_pieces(tf.constant(side)) for side in sides]
    before = numpy(preprocessor.pack(segments, 24))
    counts = np.zeros(2)
    masking = in_a_graph(Masking(preprocessor, max_predictions=5, whole_words=whole_words))
    for number in range(300):
        drawn, _, _ = replaced(before, masking(before, [0, number]))
        counts += [drawn[before["input_type_ids"] == kind].sum() for kind in (0, 1)]
    # 10 pieces a row, of which 0.15 * 10 = 1.5, rounded 2: 1,200 in all, half of them in each.
    assert counts.sum() == 1200
    assert counts[0] / counts.sum() == pytest.approx(0.5, abs=0.06)


def test_whole_words(preprocessor):
    # Words of 1 to 4 pieces; ten rows begin within a word.
    rng = np.random.default_rng(1)
    rows, words = [], []
    for number in range(50):
        ids, word = [preprocessor.start_id], [-1]
        if number < 10:
            ids, word = [*ids, 50, 51], [*word, 0, 0]
        while len(ids) < 60:
            length = rng.integers(1, 5)
            ids += [int(rng.integers(8, 47)), *rng.integers(47, 57, length - 1).tolist()]
            word += [max(word) + 1] * length
        rows.append([*ids[:60], preprocessor.end_id])
        words.append([*word[:60], -1])
    rows, words = np.array(rows, np.int32), np.array(words)
    mask = np.ones_like(rows)
    before = dict(zip(INPUTS, (rows, mask, 0 * mask)))
    masking = in_a_graph(Masking(preprocessor, max_predictions=12, whole_words=True))
    total = split = within = 0
    for number in range(20):
        drawn, new, _ = replaced(before, masking(before, [number, number]))
        within += drawn[:10, 1].sum()
        for row, word in zip(drawn, words):
            for i in set(word[row]):
                assert row[word == i].all()  # all of a word's pieces
        total += drawn.sum()
        assert drawn.sum(1).max() <= 9
        split += (new == preprocessor.mask_id).sum()
    # 59 pieces: 8.85, rounded 9, and what is left is filled with shorter words.
    assert total / (20 * 50) == pytest.approx(9, abs=0.05)
    assert 10 < within < 60  # of 200, 15%: what follows [CLS] is no part of it
    assert split / total == pytest.approx(0.8, abs=0.02)  # each piece of its own


def test_the_seed_decides_and_nothing_else(preprocessor):
    before = random_rows(preprocessor, 20, 64)
    masking = Masking(preprocessor)
    first = numpy(masking(before, [1, 2]))
    tf.random.set_seed(99)
    again = numpy(tf.function(Masking(preprocessor))(before, tf.constant([1, 2], tf.int64)))
    for name, values in first.items():
        np.testing.assert_array_equal(again[name], values)
    for seed in ([1, 3], [2, 2]):
        other = numpy(masking(before, seed))
        assert (other["masked_lm_positions"][:, 0] != first["masked_lm_positions"][:, 0]).sum() > 12
    # Rows of equal ids are masked apart.
    same = {name: tf.repeat(x[:1], 20, axis=0) for name, x in before.items()}
    positions = numpy(masking(same, [1, 2]))["masked_lm_positions"]
    assert len(set(map(tuple, positions))) > 15


def test_static_shapes(preprocessor):
    masking = Masking(preprocessor)
    spec = {name: tf.TensorSpec([4, 128], tf.int32) for name in INPUTS}
    graph = tf.function(masking).get_concrete_function(spec, tf.TensorSpec([2], tf.int64))
    # 0.15 * 128 = 19.2
    assert {name: tuple(s.shape) for name, s in graph.structured_outputs.items()} == {
        **dict.fromkeys(INPUTS, (4, 128)),
        **dict.fromkeys(
            ("masked_lm_positions", "masked_lm_ids", "masked_lm_weights"), (4, 19)
        ),
    }  # fmt: skip


def test_what_is_refused(preprocessor, tmp_path):
    for rate in (0, 1, float("nan")):
        with pytest.raises(ValueError, match=rf"`mask_rate` \(={rate}\)"):
            Masking(preprocessor, mask_rate=rate)
    with pytest.raises(ValueError, match=r"`max_predictions` \(=0\)"):
        Masking(preprocessor, max_predictions=0)
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n")
    with pytest.raises(ValueError, match=r"The vocabulary lacks \[MASK\]"):
        Masking(Preprocessor(path))
    path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    with pytest.raises(ValueError, match="no word pieces"):
        Masking(Preprocessor(path))
