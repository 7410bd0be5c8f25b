"""learn_vocabulary: the smoothing by arithmetic, the pieces by what they make of text."""

import gzip
from collections import Counter
from pathlib import Path

import pytest
import tensorflow as tf

from labse_tf import Preprocessor
from labse_tf.tokenization.vocabulary import (
    RESERVED,
    learn_vocabulary,
    smoothed_counts,
    write_vocabulary,
)

SAMPLE = Path(__file__).parents[2] / "training" / "sample"


def test_smoothing_by_hand():
    # Sentences 16 and 1, exponent 0.5: shares 4 and 1 of 5, of 17 sentences in all: 13.6 and 3.4.
    # A word of 10 in the first counts 10 * 13.6 / 16 = 8.5, a word of 2 in the second 6.8; both
    # languages' "a" add up: 4 * 0.85 + 1 * 3.4 = 6.8. Rounded, to the even: 8, 7, 7.
    words = [Counter(x=10, a=4), Counter(y=2, a=1)]
    assert smoothed_counts(words, [16, 1], 0.5) == Counter(x=8, y=7, a=7)
    assert smoothed_counts(words, [16, 1], 1.0) == Counter(x=10, y=2, a=5)
    # Exponent 0: 8.5 sentences each, so 10 * 8.5 / 16 = 5.3 and 2 * 8.5 = 17.
    assert smoothed_counts(words, [16, 1], 0.0) == Counter(x=5, y=17, a=round(4 * 8.5 / 16 + 8.5))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """800 pairs of Russian and 200 of Korean from the sample."""
    folder = tmp_path_factory.mktemp("pairs")
    for code, count in (("rus", 800), ("kor", 200)):
        with gzip.open(SAMPLE / f"{code}-eng.train.tsv.gz", "rt", encoding="utf-8") as file:
            lines = [next(file) for _ in range(count)]
        (folder / f"{code}.tsv").write_text("".join(lines), encoding="utf-8")
    return [folder / "rus.tsv", folder / "kor.tsv"]


def test_the_pieces_cover_the_text(files, tmp_path):
    pieces = learn_vocabulary(files, 1500)
    assert tuple(pieces[: len(RESERVED)]) == RESERVED
    assert len(pieces) == len(set(pieces)) <= 1500
    assert len(pieces) > 1200
    assert {"Tom", "the", "что"} <= set(pieces)  # cased, whole words of both scripts
    write_vocabulary(pieces, tmp_path / "vocab.txt")
    preprocessor = Preprocessor(tmp_path / "vocab.txt")
    assert preprocessor.special_tokens["mask_id"] == 4
    # Of a small corpus many a Hangul syllable is too rare to be learnt.
    for file, most_unknown in zip(files, (0.01, 0.15), strict=True):
        lines = file.read_text(encoding="utf-8").splitlines()
        ids = preprocessor.word_pieces(tf.constant([line.split("\t")[0] for line in lines]))
        unknown = tf.reduce_mean(tf.cast(ids.values == 1, tf.float32))
        assert unknown < most_unknown
        assert ids.values.shape[0] / sum(len(line.split()) for line in lines) < 4


def test_exponent_helps_the_small_language(files):
    def korean(exponent):
        pieces = learn_vocabulary(files, 1500, exponent=exponent)
        return sum(any("가" <= c <= "힣" for c in piece) for piece in pieces)

    assert korean(0.0) > 1.2 * korean(1.0)


def test_same_files_same_pieces(files):
    once = learn_vocabulary(files, 800, max_sentences=150, seed=5)
    assert learn_vocabulary(files, 800, max_sentences=150, seed=5) == once
    assert learn_vocabulary(files, 800, max_sentences=150, seed=6) != once


def test_lower_case(files):
    pieces = learn_vocabulary(files, 800, lower_case=True)
    assert "tom" in pieces and not any(p != p.lower() for p in pieces[len(RESERVED) :])


def test_errors(files, tmp_path):
    with pytest.raises(ValueError, match=r"`exponent` \(=-1\)"):
        learn_vocabulary(files, 800, exponent=-1)
    with pytest.raises(ValueError, match="No files"):
        learn_vocabulary([], 800)
    with pytest.raises(ValueError, match="`vocab_size`"):
        learn_vocabulary(files, 20)
    with pytest.raises(FileNotFoundError, match="absent"):
        learn_vocabulary([tmp_path / "absent.tsv"], 800)
    (tmp_path / "vocab.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"vocab.txt"):
        write_vocabulary(RESERVED, tmp_path / "vocab.txt")
    assert (tmp_path / "vocab.txt").read_text() == "mine"
