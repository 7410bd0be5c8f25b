"""Word pieces by the ops of LiteRT, against the Preprocessor's, at every code point."""

import numpy as np
import pytest
import tensorflow as tf

from labse_tf import Preprocessor
from labse_tf.tokenization.double_array import double_array
from labse_tf.tokenization.lite import LiteTokenizer

CODE_POINTS = [*range(0xD800), *range(0xE000, 0x20000), *range(0x2B7F0, 0x2B930), 0xE0001, 0x10FFFD]
# Pieces of characters where the tokenizer of LiteRT would end a word and ours does not, or that
# stand in for these, beside letters; and what it does not take at all.
PIECES = list("\u0080\u00a0\u2003\u3000\ue000\U00010d6e\U0002b820\U0010fffd")
TOKENS = ["a", "##b", "b\0", "ß", "ss", "é", "e", "!", "中", "\u00ad", "[7]"]
TOKENS += [*PIECES, *("##" + piece for piece in PIECES)]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "b", *TOKENS]


@pytest.mark.parametrize(
    "options, inside_a_word",
    [
        ({"tokenization": "google", "max_word_bytes": 5}, "##\u00a0"),
        ({"tokenization": "google", "lower_case": True}, "##\U00010d6e"),
        ({"tokenization": "hugging-face"}, "##\U0002b820"),
    ],
)
def test_the_same_ids(options, inside_a_word):
    preprocessor = Preprocessor(VOCABULARY, **options)
    tokenizer = LiteTokenizer(preprocessor)
    rng = np.random.default_rng(0)
    odd = np.array([*map(ord, "ab \t\0!中éß"), *(ord(p) for p in PIECES), *range(0x80, 0x100)])
    mixed = odd[rng.integers(len(odd), size=[5000, 8])]
    texts = ["", *(f"a{chr(c)}b" for c in CODE_POINTS), *("".join(map(chr, row)) for row in mixed)]
    ours, theirs = (t.word_pieces(tf.constant(texts)) for t in (preprocessor, tokenizer))
    starts = np.flatnonzero(ours.row_splits != theirs.row_splits)
    assert not len(starts), f"{texts[starts[0] - 1]!a}"
    np.testing.assert_array_equal(ours.values, theirs.values)
    found = {VOCABULARY[i] for i in np.unique(ours.values)}
    assert {"a", "##b", "[UNK]", "!", "中", inside_a_word} <= found


def test_a_limit_in_characters_is_refused():
    preprocessor = Preprocessor(VOCABULARY, tokenization="hugging-face", max_word_characters=100)
    with pytest.raises(ValueError, match=r"`max_word_characters` \(=100\)"):
        LiteTokenizer(preprocessor)


def read(array, code_point):
    """What Darts-clone's traverse does, by its description; None if the key is not there."""
    node = 0
    for byte in chr(code_point).encode():
        unit = int(array[node])
        node ^= (unit >> 10) << ((unit & 1 << 9) >> 6) ^ byte
        if int(array[node]) & 0x800000FF != byte:
            return None
    unit = int(array[node])
    if not unit & 1 << 8:
        return None
    return int(array[node ^ (unit >> 10) << ((unit & 1 << 9) >> 6)]) & 0x7FFFFFFF


def test_double_array_by_a_plain_reader():
    rng = np.random.default_rng(0)
    keys = {*range(1, 0x180), *rng.integers(0x180, 0xD800, 900).tolist(), *range(0xF0000, 0xF1000)}
    values = {key: 2**31 - 1 if key >= 0xF0000 else int(rng.integers(2**31)) for key in keys}
    array = double_array(values)
    assert {key: read(array, key) for key in values} == values
    absent = [key for key in range(1, 0xD800, 7) if key not in values] + [0xF1000, 0x10FFFF]
    assert {read(array, key) for key in absent} == {None}
    # 64 of a block, of one value: one block.
    assert len(double_array(dict.fromkeys(range(983040, 1048576), 5))) <= 1024
    for bad, message in (({0: 1}, "0x0 is no"), ({0xD800: 1}, "0xd800 is no"), ({65: -1}, "-1 of")):
        with pytest.raises(ValueError, match=message):
            double_array(bad)
