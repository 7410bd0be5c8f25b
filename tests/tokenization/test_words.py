"""Both tokenizations, against `tokenizers` and tensorflow_text, at every code point."""

import json
import unicodedata

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text as text
from tokenizers import Tokenizer, normalizers, pre_tokenizers

import labse_tf
from labse_tf import Preprocessor
from labse_tf.pretrained.tokenizer_json import tokenizer_json
from labse_tf.tokenization.words import split_words
from tests.models import make_model

# Letters of Unicode 14, which the ICU of TensorFlow does not know and so does not lower-case, and a
# mark of 13 that it does not decompose.
REMAIN_IF_LOWER_CASED = {
    0x2C2F, 0xA7C0, 0xA7D0, 0xA7D6, 0xA7D8, 0x11938,
    *range(0x10570, 0x1057B), *range(0x1057C, 0x1058B), *range(0x1058C, 0x10593), 0x10594, 0x10595,
}  # fmt: skip

TEXTS = {
    "no-break space": "Où est la gare\u00a0?",
    "narrow no-break space": "Il coûte 10\u202f000\u00a0euros\u202f!",
    "ideographic space": "駅は\u3000どこですか。",
    "line separator": "Hello\u2028world",
    "zero-width non-joiner": "می\u200cخواهم به خانه بروم",
    "zero-width joiner": "स्टेट्\u200dस का नागरिक है।",
    "right-to-left mark": "\u200fאיפה ה\u200fתחנה?\u200f",
    "soft hyphen": "Die Bundes\u00adregierung hat ent\u00adschieden.",
    "zero-width space": "Где\u200bвокзал?",
    "family": "I love my \U0001f469\u200d\U0001f469\u200d\U0001f467",
    "private use": "Press the \uf0b7 key, Item\uf0b7one",
    "U+FFFD": "caf\ufffd is open",
    "NUL": "sta\0tion",
    "byte order mark": "\ufeffHello there",
    "decomposed": "Ou\u0300 est la gare ?",
    "final sigma": "ΟΔΥΣΣΕΥΣ ΚΑΙ ΣΑΣ",
    "dotted I": "İstanbul IŞIK",
    "sharp s": "STRASSE straße ẞ",
    "ligatures, full width": "ﬁne Ｆｕｌｌ\uff01 ½ ℃",
    "compatibility ideograph": "x豈y\U0002f800z",
    "Hangul": "한국어입니다",
    "blank": " \u3000\t\n ",
    "empty": "",
    "punctuation": "don't — (stop); «ok» …",
}


def pieces():
    """A vocabulary with pieces of every length for the texts above, but not of all letters."""
    words = sorted({w for t in TEXTS.values() for w in t.split()} - {""})
    letters = sorted({c for w in words for form in (w, w.lower()) for c in form})
    letters = [c for c in letters if c.isprintable() and c not in "gк"]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *("##" + c for c in letters)]
    tokens += ["st", "##at", "##ati", "Bun", "##des", "##reg", "Hello", "world", "the", "##one"]
    return list(dict.fromkeys(tokens))


def library(tokens, lower_case=False, most=100):
    ids = {token: number for number, token in enumerate(tokens)}
    return Tokenizer.from_str(json.dumps(tokenizer_json(ids, lower_case, most, [])))


def of_hugging_face(tokens, lower_case=False, most=100):
    return Preprocessor(
        tokens, 32, lower_case, tokenization="hugging-face", max_word_characters=most
    )


@pytest.mark.parametrize("lower_case", [False, True], ids=["cased", "lower_case"])
def test_words_of_every_code_point(lower_case):
    points = [c for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]
    assert len(points) > 280_000
    normalizer = normalizers.BertNormalizer(lowercase=lower_case)
    splitter = pre_tokenizers.BertPreTokenizer()

    def theirs(string):
        words = splitter.pre_tokenize_str(normalizer.normalize_str(string))
        return [word for word, _ in words]

    def ours(strings):
        words = split_words(tf.constant(strings, tf.string), "hugging-face", lower_case).to_list()
        return [[word.decode() for word in row] for row in words]

    blocks = [points[i : i + 50] for i in range(0, len(points), 50)]
    rows = [" ".join(f"a{chr(c)}b" for c in block) for block in blocks]
    suspects = [
        point
        for block, row, found in zip(blocks, rows, ours(rows), strict=True)
        if found != theirs(row)
        for point in block
    ]
    texts = [f"a{chr(c)}b" for c in suspects]
    differing = {
        point
        for point, string, found in zip(suspects, texts, ours(texts), strict=True)
        if found != theirs(string)
    }
    assert differing == (REMAIN_IF_LOWER_CASED if lower_case else set())


def test_pieces_of_every_code_point_are_those_of_tensorflow_text():
    """The linear algorithm against the lookups of BertTokenizer, of which it is a replacement."""
    points = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]
    known = [c for c in points if c not in "\n\r"]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *known, *("##" + c for c in known[::2])]
    tokens = list(dict.fromkeys([*tokens, "##", "###", "####", "ab", "##ab", "#a"]))
    ids = tf.lookup.KeyValueTensorInitializer(tokens, range(len(tokens)), tf.string, tf.int64)
    theirs = text.BertTokenizer(tf.lookup.StaticHashTable(ids, -1))
    ours = Preprocessor(tokens, max_word_bytes=100)
    rows = [
        " ".join(f"{c}ab{c} {c}" for c in points[i : i + 20]) for i in range(0, len(points), 20)
    ]
    rows += ["## ### #### ##### a## ##a", "x" * 100 + " " + "x" * 101]
    found, expected = (p.tokenize(tf.constant(rows)) for p in (ours, theirs))
    np.testing.assert_array_equal(found.flat_values, expected.flat_values)
    np.testing.assert_array_equal(found.values.row_splits, expected.values.row_splits)


@pytest.mark.parametrize("lower_case", [False, True], ids=["cased", "lower_case"])
def test_ids_are_those_of_the_library(lower_case):
    tokens, texts = pieces(), list(TEXTS.values())
    expected = [
        e.ids for e in library(tokens, lower_case).encode_batch(texts, add_special_tokens=False)
    ]
    found = of_hugging_face(tokens, lower_case).word_pieces(tf.constant(texts)).to_list()
    assert dict(zip(TEXTS, found, strict=True)) == dict(zip(TEXTS, expected, strict=True))
    known = np.mean([number != 1 for row in expected for number in row])
    assert 0.7 < known < 1  # some words are [UNK]


def test_googles_ids_are_those_of_tensorflow_text(tmp_path):
    tokens, texts = pieces(), tf.constant(list(TEXTS.values()))
    (tmp_path / "vocab.txt").write_text("".join(f"{t}\n" for t in tokens), encoding="utf-8")
    theirs = text.BertTokenizer(str(tmp_path / "vocab.txt")).tokenize(texts).merge_dims(1, -1)
    google = Preprocessor(tokens, max_word_bytes=100).word_pieces(texts).to_list()
    assert google == theirs.to_list()
    assert google != of_hugging_face(tokens).word_pieces(texts).to_list()


@pytest.mark.parametrize("most", [100, 7, None])
def test_the_longest_word_is_in_characters(most):
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "は", "##は", "a"]
    lengths = (1, 7, 8, 100, 101, 400)
    texts = [f"a {'は' * length} a" for length in lengths]
    expected = [
        e.ids for e in library(tokens, most=most).encode_batch(texts, add_special_tokens=False)
    ]
    found = of_hugging_face(tokens, most=most).word_pieces(tf.constant(texts)).to_list()
    assert found == expected
    assert [1 in row for row in found] == [most is not None and most < n for n in lengths]


def test_a_release_keeps_it(tmp_path):
    tokens, texts = pieces(), list(TEXTS.values())
    encoder = make_model(tokens, len(tokens), num_layers=0).encoder
    model = labse_tf.LaBSE(of_hugging_face(tokens, most=9), encoder)
    model.save(tmp_path / "model")
    expected = model.preprocessor(texts)["input_word_ids"]
    loaded, served = labse_tf.load(tmp_path / "model"), tf.saved_model.load(tmp_path / "model")
    assert loaded.preprocessor.options == model.preprocessor.options
    for preprocessor in (loaded.preprocessor, served.preprocessor):
        found = preprocessor(tf.constant(texts))["input_word_ids"]
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(served(tf.constant(texts)), model.encode(texts), atol=2e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokenization": "bert"}, r"`tokenization` \(='bert'\) must be one of"),
        ({"max_word_characters": 9}, r"limit of the tokenization 'hugging-face', but .* 'google'"),
        (
            {"tokenization": "hugging-face", "max_word_bytes": 9},
            r"`max_word_bytes` \(=9\) is a limit of the tokenization 'google'",
        ),
        (
            {"tokenization": "hugging-face", "max_word_characters": 0},
            r"`max_word_characters` \(=0\) must be at least 1",
        ),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Preprocessor(pieces(), **options)
