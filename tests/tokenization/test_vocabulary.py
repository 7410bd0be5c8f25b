"""learn_vocabulary: smoothing and merges by a computation of their own, the pieces in use."""

import gzip
import itertools
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from labse_tf import Preprocessor
from labse_tf.data.pair_files import read_columns
from labse_tf.tokenization import vocabulary
from labse_tf.tokenization.vocabulary import (
    RESERVED,
    learn_vocabulary,
    smoothed_counts,
    write_vocabulary,
)
from tests.fresh import fresh

SAMPLE = Path(__file__).parents[2] / "training" / "sample"


def test_smoothing_by_hand():
    # Sentences 16 and 1, exponent 0.5: shares 4 and 1 of 5, of 17 sentences in all: 13.6 and 3.4.
    # A word of 10 in the first counts 10 * 13.6 / 16 = 8.5, a word of 2 in the second 6.8; both
    # languages' "a" add up: 4 * 0.85 + 1 * 3.4 = 6.8. Rounded, to the even: 8, 7, 7.
    words = [Counter(x=10, a=4), Counter(y=2, a=1)]
    sizes = [16, 1]
    assert smoothed_counts(words, sizes, sizes, 0.5) == Counter(x=8, y=7, a=7)
    assert smoothed_counts(words, sizes, sizes, 1.0) == Counter(x=10, y=2, a=5)
    # Exponent 0: 8.5 sentences each, so 10 * 8.5 / 16 = 5.3 and 2 * 8.5 = 17.
    expected = Counter(x=5, y=17, a=round(4 * 8.5 / 16 + 8.5))
    assert smoothed_counts(words, sizes, sizes, 0.0) == expected
    # Of 1,600 sentences and 100, 16 and 1 were counted: shares 4 and 1 of 5 again, 17 sentences.
    assert smoothed_counts(words, [1600, 100], sizes, 0.5) == Counter(x=8, y=7, a=7)


@pytest.mark.parametrize("exponent", [0.0, 0.3, 1.0])
def test_a_sample_does_not_change_the_weights_of_languages(exponent, monkeypatch):
    """Languages of 5,000 and 200 sentences, of which at most 200 are counted."""
    languages = [[("alpha", "x")] * 5000, [("beta", "y")] * 200]
    seen = []
    counts = vocabulary._without_rare_characters
    monkeypatch.setattr(
        vocabulary, "_without_rare_characters", lambda c: seen.append(c) or counts(c)
    )
    learn_vocabulary(languages, 100, exponent=exponent, max_sentences=200)
    assert seen[0]["alpha"] / seen[0]["beta"] == pytest.approx(25**exponent, rel=0.05)


def test_targets_are_counted_once_and_as_many_as_they_are(monkeypatch):
    """3,000 distinct targets of 6,000 weigh, at exponent 1, as much as 3,000 sources do."""
    pairs = [("alpha", f"beta {i % 3000:04}") for i in range(6000)]
    seen = []
    counts = vocabulary._without_rare_characters
    monkeypatch.setattr(
        vocabulary, "_without_rare_characters", lambda c: seen.append(c) or counts(c)
    )
    learn_vocabulary([pairs], 100, exponent=1.0, max_sentences=1000)
    assert seen[0]["alpha"] / seen[0]["beta"] == pytest.approx(2, rel=0.1)


@pytest.fixture(scope="module")
def languages():
    """800 pairs of Russian and 200 of Korean from the sample."""
    found = []
    for code, count in (("rus", 800), ("kor", 200)):
        with gzip.open(SAMPLE / f"{code}-eng.train.tsv.gz", "rt", encoding="utf-8") as file:
            lines = [next(file).rstrip("\n") for _ in range(count)]
        found.append([tuple(line.split("\t")) for line in lines])
    return found


def test_the_pieces_cover_the_text(languages, tmp_path):
    pieces = learn_vocabulary(languages, 1500)
    assert tuple(pieces[: len(RESERVED)]) == RESERVED
    assert len(pieces) == len(set(pieces)) == 1500
    assert {"Tom", "the", "что"} <= set(pieces)  # cased, whole words of both scripts
    write_vocabulary(pieces, tmp_path / "vocab.txt")
    preprocessor = Preprocessor(tmp_path / "vocab.txt")
    assert preprocessor.special_tokens["mask_id"] == 4
    # Of a small corpus many a Hangul syllable is too rare to be learnt.
    for pairs, most_unknown in zip(languages, (0.01, 0.15), strict=True):
        sources = [source for source, _ in pairs]
        ids = preprocessor.word_pieces(tf.constant(sources))
        unknown = tf.reduce_mean(tf.cast(ids.values == 1, tf.float32))
        assert unknown < most_unknown
        assert ids.values.shape[0] / sum(len(source.split()) for source in sources) < 4


def test_the_order_and_the_merges_by_plain_python(languages):
    """Byte-pair merges as defined (arXiv 1508.07909), all pairs counted anew for every merge."""
    pairs = [(source.replace(".", ""), "x") for source, _ in languages[0][:120]]
    words = Counter(word for source, _ in pairs for word in source.split() if word.isalpha())
    characters = Counter()
    for word, count in words.items():
        characters.update({c: count * word.count(c) for c in set(word)})
    words = {w: n for w, n in words.items() if all(characters[c] >= 3 for c in w)}
    inside = sorted({c for word in words if len(word) > 1 for c in word})
    pieces = [*sorted({*inside, *(w for w in words if len(w) == 1)}), *(f"##{c}" for c in inside)]
    split = {w: [w[0], *(f"##{c}" for c in w[1:])] for w in words if len(w) > 1}
    for _ in range(150):
        counts = Counter()
        for word, parts in split.items():
            for pair in itertools.pairwise(parts):
                counts[pair] += words[word]
        most = max(counts.values())
        # Of equally frequent ones, that whose pieces are earlier in the vocabulary.
        ranks = {piece: rank for rank, piece in enumerate(pieces)}
        tied = (pair for pair, count in counts.items() if count == most)
        first, second = min(tied, key=lambda pair: [ranks[piece] for piece in pair])
        merged = first + second.removeprefix("##")
        pieces.append(merged)
        for parts in split.values():
            i = 0
            while i < len(parts) - 1:
                if (parts[i], parts[i + 1]) == (first, second):
                    parts[i : i + 2] = [merged]
                i += 1
    # The pairs are one language's, so exponent 1 leaves the counts as they are; without the targets
    # ("x", too rare to be a piece) the words are those above, which are letters alone.
    kept = [(" ".join(w for w in s.split() if w.isalpha()), t) for s, t in pairs]
    kept = [(source, target) for source, target in kept if source]
    assert learn_vocabulary([kept], len(RESERVED) + len(pieces), exponent=1.0) == [
        *RESERVED,
        *pieces,
    ]


def test_counts_too_large_for_the_trainer_are_scaled(monkeypatch):
    counts = {"often": 20_000, "rarely": 5_000, "once": 1}
    given = Counter(word for text in vocabulary._repeated(counts) for word in text.split())
    assert given == counts
    monkeypatch.setattr(vocabulary, "_MOST_WORDS", 250)
    given = Counter(word for text in vocabulary._repeated(counts) for word in text.split())
    assert given == {"often": 200, "rarely": 50, "once": 1}


def test_exponent_helps_the_small_language(languages):
    def korean(exponent):
        pieces = learn_vocabulary(languages, 1500, exponent=exponent)
        return sum(any("가" <= c <= "힣" for c in piece) for piece in pieces)

    assert korean(0.0) > 1.2 * korean(1.0)


def test_same_pairs_same_pieces(languages, tmp_path):
    options = dict(vocab_size=800, max_sentences=150, seed=5)
    once = learn_vocabulary(languages, **options)
    assert learn_vocabulary(map(iter, languages), **options) == once
    assert learn_vocabulary(languages, **{**options, "seed": 6}) != once
    # Python's and the trainer's hash tables have other seeds in every process.
    (tmp_path / "pairs.json").write_text(json.dumps(languages))
    code = f"""
import json, sys
from labse_tf.tokenization.vocabulary import learn_vocabulary
languages = json.load(open(sys.argv[1]))
print(json.dumps(learn_vocabulary(languages, **{options})))
"""
    done = fresh("-c", code, tmp_path / "pairs.json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == once


def test_lower_case(languages):
    pieces = learn_vocabulary(languages, 800, lower_case=True)
    assert "tom" in pieces and not any(p != p.lower() for p in pieces[len(RESERVED) :])


def test_a_script_without_spaces_has_pieces():
    # A sentence is a word: of 50 letters, 150 bytes.
    words = ["ありがとう", "こんにちは", "さようなら", "おはようご", "ざいますか"]
    order = np.random.default_rng(0).integers(len(words), size=[60, 10])
    pairs = [("".join(words[i] for i in row), "x") for row in order]
    pieces = learn_vocabulary([pairs], 200)
    assert sum(len(piece.removeprefix("##")) >= 5 for piece in pieces) > 5
    sources = tf.constant([source for source, _ in pairs])
    ids = Preprocessor(pieces).word_pieces(sources)
    assert not (ids.values == 1).numpy().any() and ids.values.shape[0] < 60 * 20
    short = [*pairs, *[("ありがとう", "x")] * 9]
    letters = {c for piece in learn_vocabulary([short], 200, max_word_bytes=100) for c in piece}
    assert letters - set("".join(RESERVED)) == set("#ありがとうx")


def test_words_are_those_of_the_tokenization():
    pairs = [(f"Bundes\u00adregierung {c}\u00a0ja" * 3, "x y z") for c in "abcdefgh"]
    google, hugging_face = (
        set(learn_vocabulary([pairs], 200, tokenization=name))
        for name in ("google", "hugging-face")
    )
    assert {"Bundesregierung", "ja"} <= hugging_face  # "ja" at the end, and before "Bundes"
    assert not {"Bundesregierung", "ja"} & google
    assert not any("\u00ad" in piece or "\u00a0" in piece for piece in hugging_face)
    assert any("\u00a0" in piece for piece in google)


def test_errors(languages, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"`exponent` \(=-1\)"):
        learn_vocabulary(languages, 800, exponent=-1)
    with pytest.raises(ValueError, match=r"`tokenization` \(='bert'\)"):
        learn_vocabulary(languages, 800, tokenization="bert")
    with pytest.raises(ValueError, match="limit of the tokenization 'google'"):
        learn_vocabulary(languages, 800, tokenization="hugging-face", max_word_bytes=9)
    with pytest.raises(ValueError, match="No languages"):
        learn_vocabulary([], 800)
    with pytest.raises(ValueError, match=r"Language 1 .* has no pairs"):
        learn_vocabulary([*languages[:1], []], 800)
    with pytest.raises(ValueError, match="`vocab_size`"):
        learn_vocabulary(languages, 20)
    with pytest.raises(FileNotFoundError, match="absent"):
        learn_vocabulary([read_columns(tmp_path / "absent.tsv")], 800)
    (tmp_path / "vocab.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"vocab.txt"):
        write_vocabulary(RESERVED, tmp_path / "vocab.txt")
    assert (tmp_path / "vocab.txt").read_text() == "mine"
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match=r"pip install '.\[vocabulary\]'"):
        learn_vocabulary(languages, 800)
