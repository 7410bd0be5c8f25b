"""Preprocessor against text.BertTokenizer and the Model Garden's BertPackInputs: equal ids."""

import functools
import gzip
import itertools
import pathlib
import unicodedata

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text as text
from hypothesis import example, given, settings
from hypothesis import strategies as st
from official.nlp.modeling.layers import text_layers

from labse_tf.tokenization.preprocessing import Preprocessor
from labse_tf.tokenization.vocabulary_files import read_vocabulary

SAMPLE = pathlib.Path(__file__).parents[2] / "training" / "sample"
KEYS = {"input_word_ids", "input_mask", "input_type_ids"}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SEQ_LENGTH = 16  # of the preprocessors under test; short, so that much is cut

TEXT = """\
The quick brown fox isn't here, said Tom; Mary's dog (it's 12 years old) sleeps!
Das Mädchen aß heute Äpfel, während die größeren Brüder übten. Ça va déjà, où est l'été?
Я не знаю, что он сказал вчера. Η γλώσσα είναι δύσκολη, αλλά μου αρέσει.
لا أعرف ما الذي قاله سامي أمس. מה ההסתברות שאלף ינצח?
ฉันผิดหรือเปล่า อังการาอยู่ในตุรกี मुझे नहीं पता कि उसने क्या कहा।
它是免費的。走吧。私は昨日それを知らなかった。나는 그것을 몰랐다.
"""

# One sentence or more of everything that the properties below draw from, so that no run depends on
# the luck of the draw.
AWKWARD = [
    "",
    " ",
    "   \t  ",
    "The quick brown fox",
    "unquickable brownish foxes",
    "[CLS]",
    "[SEP] [PAD] the [MASK] [UNK]",
    "e\u0301te\u0301 \u00e9t\u00e9 a\u0308\u0323\u0327 \u0301\u0302",  # combining marks, alone too
    "ÉTÉ ÄPFEL İstanbul ǅ ﬁ ß ẞ Σς",
    "走吧。它是免費的𠀀𪜀",
    "ฉันผิดหรือเปล่า ั้",
    "لا أعرف ـــ ٱلْقَلْبِ \u202eسامي\u202c",
    "מה הַהִסְתַּבְּרוּת",
    "👩‍👩‍👧‍👦 👍🏽 🏳️‍🌈 🇩🇪 fox😀fox",
    "fox\u0000brown\u0007\u001b[0m\u0085\u009f\r\n",
    "\u0000",
    "the\u00a0quick\u200bbrown\u200cfox\u2028\u2029\u3000\ufeff\u00ad",
    "x" * 200,
    "ж" * 100,
    "the" * 67 + " fox",
    "a" * 100 + " " + "a" * 101,  # max_bytes_per_word is 100
    "isn't it? (12) $3^4 ~`|<=>+ «¿»",
    "\ufffd \U0010ffff \ue000",
]


def strip_accents(string):
    decomposed = unicodedata.normalize("NFD", string.casefold())
    return "".join(c for c in decomposed if unicodedata.category(c) != "Mn")


@functools.cache
def make_vocabulary(shifted):
    """Whole words, their beginnings and ends, most single characters; lower-cased ones too.

    When `shifted`, the special tokens stand in five places far apart, none at its usual id.
    """
    tokens = {}  # a set that keeps the order
    for line in (TEXT, strip_accents(TEXT)):
        for character in line:
            # Every seventh character stays unknown, and every fifth at the end of a word.
            if not character.isspace() and ord(character) % 7:
                tokens[character] = None
                if ord(character) % 5:
                    tokens["##" + character] = None
        for number, word in enumerate(line.split()):
            if number % 2:
                tokens[word.strip(".,;!?()")] = None
            tokens["##" + word[-2:]] = None
            tokens[word[:3]] = None
    tokens.pop("", None)
    tokens = list(tokens)
    if not shifted:
        return (*SPECIAL, *tokens)
    for place, token in zip((3, 17, 40, 77, len(tokens)), reversed(SPECIAL), strict=True):
        tokens.insert(place, token)
    return tuple(tokens)


class Reference:
    """The same from other people's code, on a table that was never a file."""

    def __init__(self, tokens, lower_case):
        self.ids = {token: number for number, token in enumerate(tokens)}
        table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(tokens), tf.range(len(tokens), dtype=tf.int64)
            ),
            default_value=-1,
        )
        self.tokenizer = text.BertTokenizer(table, lower_case=lower_case)

    def __call__(self, sentences):
        return self.bert_pack_inputs([self.tokenize(sentences)], SEQ_LENGTH)

    def tokenize(self, sentences):
        return tf.cast(self.tokenizer.tokenize(sentences), tf.int32)

    def word_pieces(self, sentences):
        return self.tokenize(sentences).merge_dims(1, 2)

    def bert_pack_inputs(self, segments, seq_length):
        return text_layers.BertPackInputs.bert_pack_inputs(
            segments,
            seq_length,
            start_of_sequence_id=self.ids["[CLS]"],
            end_of_segment_id=self.ids["[SEP]"],
            padding_id=self.ids["[PAD]"],
        )

    pack = bert_pack_inputs


def write_vocabulary(path, tokens):
    path.write_bytes("".join(f"{token}\n" for token in tokens).encode())
    return path


@pytest.fixture(scope="module")
def make_sides(tmp_path_factory):
    """(shifted, lower_case) -> (Preprocessor, Reference) with one vocabulary."""
    folder = tmp_path_factory.mktemp("vocabularies")

    @functools.cache
    def make(shifted, lower_case):
        tokens = make_vocabulary(shifted)
        path = write_vocabulary(folder / f"{shifted}.txt", tokens)
        preprocessor = Preprocessor(path, SEQ_LENGTH, lower_case, max_word_bytes=100)
        return preprocessor, Reference(tokens, lower_case)

    return make


@pytest.fixture(
    params=itertools.product([False, True], repeat=2),
    ids=["standard-cased", "standard-lower_case", "shifted-cased", "shifted-lower_case"],
)
def sides(request, make_sides):
    return make_sides(*request.param)


def compile_ours(preprocessor):
    """Every way to pack, traced once; `seq_length` is a tensor and SEQ_LENGTH a Python int."""
    strings, width = tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.int32)

    @tf.function(input_signature=[strings, strings, width], autograph=False)
    def pack(first, second, seq_length):
        tokens = [preprocessor.tokenize(first), preprocessor.tokenize(second)]
        pieces = [segment.merge_dims(1, 2) for segment in tokens]
        return {
            "call": preprocessor(first),
            "one segment, int": preprocessor.bert_pack_inputs(tokens[:1], SEQ_LENGTH),
            "one segment, tensor": preprocessor.bert_pack_inputs(tokens[:1], seq_length),
            "two segments, int": preprocessor.bert_pack_inputs(tokens, SEQ_LENGTH),
            "two segments, tensor": preprocessor.bert_pack_inputs(tokens, seq_length),
            "pack one, tensor": preprocessor.pack(pieces[:1], seq_length),
            "pack two, int": preprocessor.pack(pieces, SEQ_LENGTH),
        }

    return pack


def compile_reference(reference):
    strings, width = tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.int32)

    @tf.function(input_signature=[strings, strings, width], autograph=False)
    def pack(first, second, seq_length):
        segments = [reference.tokenize(first), reference.tokenize(second)]
        return {
            "one": reference.bert_pack_inputs(segments[:1], seq_length),
            "two": reference.bert_pack_inputs(segments, seq_length),
        }

    return pack


@pytest.fixture(
    scope="module",
    params=[(True, False), (False, True)],
    ids=["shifted, cased", "standard, lower_case"],
)
def packers(request, make_sides):
    preprocessor, reference = make_sides(*request.param)
    return compile_ours(preprocessor), compile_reference(reference)


def assert_same(got, expected, *sentences):
    """Equal dicts of equal tensors; else shows the first sentence whose ids differ."""
    assert set(got) == set(expected) == KEYS
    for key in KEYS:
        assert got[key].dtype == expected[key].dtype == tf.int32
        a, b = got[key].numpy(), expected[key].numpy()
        assert a.shape == b.shape
        if not np.array_equal(a, b):
            row = int(np.argmax((a != b).any(axis=1)))
            shown = [column[row] for column in sentences]
            pytest.fail(f"{key} of {shown!r}:\n{a[row].tolist()}, but expected\n{b[row].tolist()}")


def read_sample(pattern):
    """Every different sentence of the sample files of this pattern, both columns, in batches."""
    files = sorted(SAMPLE.glob(pattern))
    assert files, f"There is no {pattern} in {SAMPLE}: nothing would be compared."
    sentences = {}  # a set that keeps the order
    for path in files:
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
            pairs = [line.rstrip("\n").split("\t") for line in file]
        assert pairs, f"{path} is empty."
        assert {len(pair) for pair in pairs} == {2}, f"{path} has not two columns."
        sentences.update(dict.fromkeys(itertools.chain.from_iterable(pairs)))
    sentences = list(sentences)
    return [sentences[start : start + 8192] for start in range(0, len(sentences), 8192)]


def assert_all_kinds(tokens, packed_ids):
    """Whole words, ends of words, [UNK], padding and truncation all occur in these ids."""
    seen = np.bincount(np.concatenate(packed_ids).ravel(), minlength=len(tokens))
    for is_piece in (False, True):
        same_kind = [n for n, token in enumerate(tokens) if token.startswith("##") == is_piece]
        assert np.count_nonzero(seen[same_kind]) > 50
    rows = sum(map(len, packed_ids))
    assert seen[tokens.index("[UNK]")] > rows / 10
    assert seen[tokens.index("[PAD]")] > rows / 10
    last = np.concatenate([ids[:, -1] for ids in packed_ids])
    assert (last == tokens.index("[SEP]")).sum() > rows / 100


def test_ids_of_every_sample_word(make_sides):
    """Every held-out sentence, and every word with the punctuation that touches it."""
    preprocessor, reference = make_sides(True, False)

    # Both in one function, so that they run side by side.
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def pack(sentences):
        return preprocessor(sentences), reference(sentences)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def split(words):
        return preprocessor.tokenize(words), reference.tokenize(words)

    packed_ids = []
    for sentences in read_sample("*.heldout.tsv.gz"):
        got, expected = pack(tf.constant(sentences))
        assert_same(got, expected, sentences)
        packed_ids.append(got["input_word_ids"].numpy())
    assert_all_kinds(make_vocabulary(True), packed_ids)
    sentences = itertools.chain.from_iterable(read_sample("*.train.tsv.gz"))
    words = list(dict.fromkeys(itertools.chain.from_iterable(map(str.split, sentences))))
    assert len(words) > 100_000
    got, expected = split(tf.constant(words))
    assert np.array_equal(got.flat_values, expected.flat_values)
    for got_splits, expected_splits in zip(
        got.nested_row_splits, expected.nested_row_splits, strict=True
    ):
        assert np.array_equal(got_splits, expected_splits)


def test_ids_of_sample_pairs_lower_cased(make_sides):
    preprocessor, reference = make_sides(True, True)
    strings, width = tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.int32)

    @tf.function(input_signature=[strings, strings, width], autograph=False)
    def pack(first, second, seq_length):
        return [
            side.bert_pack_inputs([side.tokenize(first), side.tokenize(second)], seq_length)
            for side in (preprocessor, reference)
        ]

    packed_ids = []
    for sentences in read_sample("*.heldout.tsv.gz"):
        backwards = sentences[::-1]
        got, expected = pack(sentences, backwards, tf.constant(40))
        assert_same(got, expected, sentences, backwards)
        packed_ids.append(got["input_word_ids"].numpy())
    assert_all_kinds(make_vocabulary(True), packed_ids)


def characters(*ranges):
    return st.one_of([st.characters(min_codepoint=low, max_codepoint=high) for low, high in ranges])


PIECES = st.one_of(
    st.sampled_from(AWKWARD),
    st.sampled_from(TEXT.split()),
    st.sampled_from(SPECIAL),
    # Latin and its combining marks; controls; the general punctuation with its format characters.
    st.text(characters((0x20, 0x24F), (0x300, 0x36F)), max_size=12),
    st.text(characters((0x00, 0x20), (0x7F, 0xA0), (0x2000, 0x206F)), max_size=6),
    st.text(characters((0x590, 0x5FF), (0x600, 0x6FF), (0xE00, 0xE7F)), max_size=12),
    st.text(characters((0x3040, 0x30FF), (0x4E00, 0x9FFF), (0x20000, 0x2A6DF)), max_size=6),
    st.lists(st.sampled_from("👩👧👦🏽🏳🌈❤\u200d\ufe0f🇩🇪"), max_size=6).map("".join),
    st.sampled_from("axжก字é").flatmap(lambda c: st.integers(30, 201).map(lambda n: c * n)),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
)
SEPARATORS = st.sampled_from(["", " ", " ", "  ", "\u00a0", "\u200b", "-", "\n"])
SENTENCES = st.lists(st.tuples(PIECES, SEPARATORS), max_size=5).map(
    lambda parts: "".join(itertools.chain.from_iterable(parts))
)


@given(pairs=st.lists(st.tuples(SENTENCES, SENTENCES), max_size=16), seq_length=st.integers(4, 40))
@example(pairs=[], seq_length=8)
@example(pairs=list(zip(AWKWARD, reversed(AWKWARD), strict=True)), seq_length=9)
@example(pairs=list(zip(AWKWARD, AWKWARD, strict=True)), seq_length=300)
@settings(deadline=None, max_examples=60)
def test_ids_of_awkward_strings(packers, pairs, seq_length):
    first, second = zip(*pairs, strict=True) if pairs else ((), ())
    texts = tf.constant(first, tf.string), tf.constant(second, tf.string)
    ours, theirs = packers
    got = ours(*texts, tf.constant(seq_length))
    at_int, at_tensor = theirs(*texts, SEQ_LENGTH), theirs(*texts, seq_length)
    for way, expected in {
        "call": at_int["one"],
        "one segment, int": at_int["one"],
        "one segment, tensor": at_tensor["one"],
        "two segments, int": at_int["two"],
        "two segments, tensor": at_tensor["two"],
        "pack one, tensor": at_tensor["one"],
        "pack two, int": at_int["two"],
    }.items():
        assert_same(got.pop(way), expected, first, second)
    assert not got


def test_pieces_of_awkward_strings(sides):
    preprocessor, reference = sides
    expected = reference.tokenize(AWKWARD)
    got = preprocessor.tokenize(AWKWARD)
    assert got.dtype == tf.int32
    assert got.to_list() == expected.to_list()
    assert preprocessor.word_pieces(AWKWARD).to_list() == [
        list(itertools.chain.from_iterable(words)) for words in expected.to_list()
    ]


def test_the_awkward_strings_hold_words_pieces_and_unknowns(make_sides):
    # Otherwise the comparisons above would compare [UNK] with [UNK].
    _, reference = make_sides(True, False)
    words = reference.tokenize([*AWKWARD, *TEXT.splitlines()]).to_list()
    words = [word for sentence in words for word in sentence]
    unknown = reference.ids["[UNK]"]
    assert sum(word == [unknown] for word in words) > 10
    assert sum(word != [unknown] and len(word) == 1 for word in words) > 50
    assert sum(len(word) > 1 for word in words) > 10


def test_words_pieces_and_special_tokens_by_hand(tmp_path):
    # Lines of the file:  0    1       2       3        4       5       6
    tokens = ["##s", "fox", "[SEP]", "[UNK]", "[PAD]", "the", "[CLS]"]
    path = write_vocabulary(tmp_path / "vocab.txt", tokens)
    packed = Preprocessor(path, seq_length=6)(["the foxs", "The", "the fox the fox the"])
    # "foxs" is fox ##s; "The" is not "the"; five words do not fit between [CLS] and [SEP].
    expected = [[6, 5, 1, 0, 2, 4], [6, 3, 2, 4, 4, 4], [6, 5, 1, 5, 1, 2]]
    assert packed["input_word_ids"].numpy().tolist() == expected
    mask = [[1, 1, 1, 1, 1, 0], [1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1]]
    assert packed["input_mask"].numpy().tolist() == mask
    assert packed["input_type_ids"].numpy().tolist() == np.zeros([3, 6]).tolist()


def test_lower_case_folds_case_and_strips_accents(tmp_path):
    tokens = [*SPECIAL, "ete", "Été"]
    path = write_vocabulary(tmp_path / "vocab.txt", tokens)
    cased, lower = Preprocessor(path, 4), Preprocessor(path, 4, lower_case=True)
    # By itself, a cased tokenizer leaves the accents alone and does not compose them.
    sentences = ["Été", "ÉTÉ", "ete", "E\u0301te\u0301"]
    assert cased.word_pieces(sentences).to_list() == [[6], [1], [5], [1]]
    assert lower.word_pieces(sentences).to_list() == [[5], [5], [5], [5]]


@pytest.mark.parametrize("as_tensor", [False, True], ids=["int", "tensor"])
@pytest.mark.parametrize("seq_length", range(3, 15))
def test_two_segments_are_cut_like_the_round_robin_trimmer(make_sides, seq_length, as_tensor):
    preprocessor, _ = make_sides(True, False)
    start, end, padding = preprocessor.start_id, preprocessor.end_id, preprocessor.padding_id
    # All pairs of lengths; the ids 1000, 1001... and 2000, 2001... tell every place apart.
    lengths = list(itertools.product(range(13), repeat=2))
    segments = [
        tf.ragged.constant([list(range(base, base + pair[side])) for pair in lengths], tf.int32)
        for side, base in enumerate((1000, 2000))
    ]
    trimmed = text.RoundRobinTrimmer(seq_length - 3).trim(segments)
    packed = preprocessor.pack(segments, tf.constant(seq_length) if as_tensor else seq_length)
    rows = zip(*(segment.to_list() for segment in trimmed), strict=True)
    for row, (first, second) in enumerate(rows):
        ids = [start, *first, end, *second, end]
        blank = seq_length - len(ids)
        expected = dict(
            input_word_ids=ids + [padding] * blank,
            input_mask=[1] * len(ids) + [0] * blank,
            input_type_ids=[0] * (len(first) + 2) + [1] * (len(second) + 1) + [0] * blank,
        )
        assert {key: packed[key].numpy()[row].tolist() for key in packed} == expected, lengths[row]


def test_two_segments_by_hand(make_sides):
    preprocessor, _ = make_sides(False, False)  # [PAD] 0, [CLS] 2, [SEP] 3
    first = tf.ragged.constant([[11, 12, 13, 14], [11], [11, 12, 13, 14]], dtype=tf.int32)
    second = tf.ragged.constant([[21, 22, 23, 24], [21, 22, 23, 24, 25], []], dtype=tf.int32)
    # Eight places less [CLS] and two [SEP] leave five, dealt in turn: 3 and 2, 1 and 4, 4 and 0.
    packed = preprocessor.bert_pack_inputs([first, second], seq_length=8)
    assert packed["input_word_ids"].numpy().tolist() == [
        [2, 11, 12, 13, 3, 21, 22, 3],
        [2, 11, 3, 21, 22, 23, 24, 3],
        [2, 11, 12, 13, 14, 3, 3, 0],
    ]
    assert packed["input_type_ids"].numpy().tolist() == [
        [0, 0, 0, 0, 0, 1, 1, 1],
        [0, 0, 0, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 0, 0, 1, 0],
    ]
    assert packed["input_mask"].numpy().tolist() == [[1] * 8, [1] * 8, [1] * 7 + [0]]


@pytest.mark.parametrize("seq_length", [3, 4, 5, 15, 16, 17, 64])
def test_a_long_sentence_fills_exactly_seq_length(make_sides, seq_length):
    preprocessor, reference = make_sides(True, False)
    sentences = [" ".join(["fox"] * count) for count in range(1, 66)]
    segments = [preprocessor.tokenize(sentences)]
    packed = preprocessor.bert_pack_inputs(segments, seq_length)
    assert_same(packed, reference.bert_pack_inputs(segments, seq_length), sentences)
    used = [min(count + 2, seq_length) for count in range(1, 66)]
    assert packed["input_mask"].numpy().sum(axis=1).tolist() == used
    ends = packed["input_word_ids"].numpy()[range(65), np.array(used) - 1]
    assert set(ends) == {preprocessor.end_id}


def test_seq_length_and_segment_have_defaults(make_sides):
    preprocessor, reference = make_sides(True, False)
    pieces = preprocessor.tokenize(AWKWARD)
    expected = reference.bert_pack_inputs([reference.tokenize(AWKWARD)], SEQ_LENGTH)
    assert_same(preprocessor.bert_pack_inputs([pieces]), expected, AWKWARD)
    assert_same(preprocessor.bert_pack_inputs(pieces), expected, AWKWARD)
    assert_same(preprocessor(AWKWARD), expected, AWKWARD)


def test_seq_length_may_be_a_numpy_int(make_sides):
    preprocessor, reference = make_sides(True, False)
    segments = [preprocessor.tokenize(AWKWARD)]
    expected = reference.bert_pack_inputs(segments, 9)
    for seq_length in (np.int32(9), np.int64(9)):
        assert_same(preprocessor.bert_pack_inputs(segments, seq_length), expected, AWKWARD)


def test_the_width_is_static_in_a_trace_and_in_tf_data(make_sides):
    preprocessor, _ = make_sides(True, False)
    strings = tf.TensorSpec([None], tf.string)

    def pack(sentences):
        pieces = preprocessor.tokenize(sentences)
        return preprocessor.bert_pack_inputs([pieces, pieces], seq_length=9)

    for function, width in ((preprocessor.__call__, SEQ_LENGTH), (pack, 9)):
        spec = {key: tf.TensorSpec([None, width], tf.int32) for key in KEYS}
        traced = (
            tf.function(function, autograph=False).get_concrete_function(strings).structured_outputs
        )
        assert {key: (t.shape.as_list(), t.dtype) for key, t in traced.items()} == {
            key: ([None, width], tf.int32) for key in KEYS
        }
        dataset = tf.data.Dataset.from_tensor_slices(AWKWARD).batch(4).map(function)
        assert dataset.element_spec == spec
        batches = list(dataset)
        whole = function(tf.constant(AWKWARD))
        for key in KEYS:
            joined = np.concatenate([batch[key].numpy() for batch in batches])
            assert np.array_equal(joined, whole[key].numpy())


def test_an_empty_batch(sides):
    preprocessor, _ = sides
    nothing = tf.constant([], tf.string)
    pieces = preprocessor.tokenize(nothing)
    for packed, width in (
        (preprocessor(nothing), SEQ_LENGTH),
        (preprocessor([]), SEQ_LENGTH),
        (preprocessor.bert_pack_inputs([pieces, pieces], 8), 8),
        (preprocessor.bert_pack_inputs([pieces, pieces], tf.constant(8)), 8),
    ):
        assert {key: (t.shape.as_list(), t.dtype) for key, t in packed.items()} == {
            key: ([0, width], tf.int32) for key in KEYS
        }


# What TensorFlow Serving links of TensorFlow Text in all of 2.12 to 2.20.
SERVED_TEXT_OPS = {
    "FastBertNormalize",
    "FastWordpieceTokenizeWithOffsets",
    "RegexSplitWithOffsets",
    "WordpieceTokenizeWithOffsets",
    "NormalizeUTF8",
    "CaseFoldUTF8",
}


def text_ops(function, *signature):
    """The ops of a trace, and of all functions that it calls, that TensorFlow alone lacks."""
    traced = tf.function(
        function, input_signature=signature, autograph=False
    ).get_concrete_function()
    graph = traced.graph.as_graph_def()
    functions = {inner.signature.name for inner in graph.library.function}
    ops = {node.op for node in graph.node} | {
        node.op for inner in graph.library.function for node in inner.node_def
    }
    return {op.removeprefix("TFText>") for op in ops - functions if not hasattr(tf.raw_ops, op)}


@pytest.mark.parametrize("lower_case", [False, True], ids=["cased", "lower_case"])
def test_the_traces_hold_no_text_op_that_serving_lacks(make_sides, lower_case):
    preprocessor, reference = make_sides(True, lower_case)
    strings = tf.TensorSpec([None], tf.string)
    pieces = tf.RaggedTensorSpec([None, None, None], tf.int32, ragged_rank=2)
    width = tf.TensorSpec([], tf.int32)

    def pack_two(first, second, seq_length):
        return preprocessor.bert_pack_inputs([first, second], seq_length)

    expected = {"RegexSplitWithOffsets", "FastWordpieceTokenizeWithOffsets"}
    if lower_case:
        expected |= {"NormalizeUTF8", "CaseFoldUTF8"}
    found = text_ops(preprocessor.__call__, strings)
    assert expected <= found <= SERVED_TEXT_OPS
    assert text_ops(lambda s: preprocessor.bert_pack_inputs([s], 8), pieces) == set()
    assert text_ops(pack_two, pieces, pieces, width) == set()
    # The walk does see the op that is to be kept out, within a called function too.
    inner = tf.function(lambda s: reference.bert_pack_inputs([s], 8), autograph=False)
    assert "RoundRobinTrim" in text_ops(inner, pieces)


def test_special_tokens(make_sides, tmp_path):
    for shifted in (False, True):
        preprocessor, reference = make_sides(shifted, False)
        # The Hub's names, from the layer that google's preprocessors were exported with.
        path = write_vocabulary(tmp_path / f"{shifted}.txt", preprocessor.tokens)
        hub = text_layers.BertTokenizer(
            vocab_file=str(path), lower_case=False
        ).get_special_tokens_dict()
        assert preprocessor.special_tokens == hub
        assert hub == dict(
            start_of_sequence_id=reference.ids["[CLS]"],
            end_of_segment_id=reference.ids["[SEP]"],
            padding_id=reference.ids["[PAD]"],
            mask_id=reference.ids["[MASK]"],
            vocab_size=len(make_vocabulary(shifted)),
        )
    path = write_vocabulary(tmp_path / "vocab.txt", ["a", "[UNK]", "[SEP]", "[PAD]", "[CLS]"])
    preprocessor = Preprocessor(path)
    assert preprocessor.special_tokens == dict(
        start_of_sequence_id=4, end_of_segment_id=2, padding_id=3, vocab_size=5
    )
    assert preprocessor.mask_id is None


def test_a_token_has_the_number_of_its_line(tmp_path):
    # Characters at which str.splitlines breaks a line, but TensorFlow's table does not; white space
    # around a token is a part of it; the last line has no end.
    odd = ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", " ", "x ", "\tx", "a b", "\x00", "\ufeffx"]
    tokens = [*odd, *SPECIAL, "x"]
    path = tmp_path / "vocab.txt"
    path.write_bytes("\n".join(tokens).encode())
    ids = {token: number for number, token in enumerate(tokens)}
    assert read_vocabulary(path) == ids
    preprocessor = Preprocessor(path)
    words = [token for token in tokens if token != "\x00"]  # which no word is
    pieces = preprocessor._tokenizer._tokenizer().tokenize(tf.constant(words))
    assert pieces.to_list() == [[ids[word]] for word in words]
    assert preprocessor.vocab_size == preprocessor.special_tokens["vocab_size"] == len(tokens)


def test_a_vocabulary_that_was_replaced_is_read_anew(tmp_path):
    # As tf.lookup's tables are not, which are named by the path of their file.
    path = write_vocabulary(tmp_path / "vocab.txt", [*SPECIAL, "one", "two"])
    before = Preprocessor(path, seq_length=5)
    assert before(["one two"])["input_word_ids"].numpy().tolist() == [[2, 5, 6, 3, 0]]
    write_vocabulary(path, ["two", "three", "one", *SPECIAL])
    after = Preprocessor(path, seq_length=5)
    assert after(["one two"])["input_word_ids"].numpy().tolist() == [[5, 2, 0, 6, 3]]
    assert before(["one two"])["input_word_ids"].numpy().tolist() == [[2, 5, 6, 3, 0]]


def test_the_vocabulary_is_kept(tmp_path):
    tokens = [*SPECIAL, "one", "two"]
    path = write_vocabulary(tmp_path / "vocab.txt", tokens)
    preprocessor = Preprocessor(path, 5, lower_case=True, max_word_bytes=4)
    content = path.read_bytes()
    path.unlink()
    assert preprocessor.tokens == tokens and preprocessor.vocabulary == content
    other = preprocessor.with_token_ids([6, 5, 0, 1, 2, 3, 4])
    assert (other.seq_length, other.lower_case, other.max_word_bytes) == (5, True, 4)
    ids = [p(["ONE two"])["input_word_ids"].numpy().tolist()[0] for p in (preprocessor, other)]
    assert ids == [[2, 5, 6, 3, 0], [4, 1, 0, 5, 2]]
    for wrong, said in (
        (["a", *SPECIAL, "a"], "'a' stands twice"),
        (["a\n", *SPECIAL], "Token 0 .* line end"),
        ([*SPECIAL, ""], "Token 5 .* is empty"),
        (SPECIAL[1:], r"lacks \[PAD\]"),
    ):
        with pytest.raises(ValueError, match=said):
            Preprocessor(wrong)


def test_a_byte_order_mark_is_no_token(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*SPECIAL, "\ufeff"]), encoding="utf-8-sig")
    assert list(read_vocabulary(path)) == [*SPECIAL, "\ufeff"]
    path.write_text("\n".join(["\ufeff", *SPECIAL]), encoding="utf-8")
    assert list(read_vocabulary(path)) == ["\ufeff", *SPECIAL]  # it is one by itself


def test_the_longest_word():
    # 3 bytes a letter: 33 letters are 99 bytes. The kernel looks for the longest piece, "##かき".
    tokens = [*SPECIAL, "か", "##か", "##き", "##かき", "[unused1]"]
    preprocessor = Preprocessor(tokens, seq_length=512)
    google = Preprocessor(tokens, seq_length=512, max_word_bytes=100)
    fits, longer, long = "か" * 33, "か" * 34, "か" + "かき" * 5000
    assert google.word_pieces([fits, longer]).to_list() == [[5] + [6] * 32, [1]]
    assert preprocessor.word_pieces([fits, longer, long]).to_list() == [
        [5] + [6] * 32,
        [5] + [6] * 33,
        [5] + [8] * 5000,
    ]
    with pytest.raises(ValueError, match=r"`max_word_bytes` \(=0\)"):
        Preprocessor(tokens, max_word_bytes=0)


def test_no_vocabulary_file(tmp_path):
    for path in (tmp_path / "absent.txt", tmp_path):
        with pytest.raises(FileNotFoundError) as error:
            Preprocessor(path)
        assert str(path) in str(error.value)


def test_an_empty_vocabulary(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="is empty: expected one token a line") as error:
        Preprocessor(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("absent", ["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
def test_a_vocabulary_without_a_special_token(tmp_path, absent):
    tokens = ["a", *(token for token in SPECIAL if token != absent)]
    path = write_vocabulary(tmp_path / "vocab.txt", tokens)
    with pytest.raises(ValueError) as error:
        Preprocessor(path)
    message = str(error.value)
    assert str(path) in message
    assert [token for token in SPECIAL if token in message] == [absent]


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        (b"[PAD]\n[UNK]\n[CLS]\n[SEP]\nb\na\nb\n", 7, ["'b'", "line 5"]),
        (b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[PAD]", 5, ["'[PAD]'", "line 1"]),
        (b"[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\n", 1, ["carriage return"]),
        (b"[PAD]\n[UNK]\n[CLS]\n[SEP]\na\r\nb\n", 5, ["carriage return"]),
        (b"[PAD]\n[UNK]\n[CLS]\n[SEP]\nna\xefve\n", 5, ["UTF-8"]),
        (b"[PAD]\n[UNK]\n\xed\xa0\x80\n[CLS]\n[SEP]\n", 3, ["UTF-8"]),
        (b"[PAD]\n[UNK]\n\n[CLS]\n[SEP]\n", 3, ["empty"]),
        (b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n\n", 5, ["empty"]),
    ],
    ids=[
        "duplicate",
        "duplicate special token",
        "CRLF",
        "one CRLF",
        "Latin-1",
        "surrogate",
        "empty line",
        "empty last line",
    ],
)
def test_a_bad_line_of_the_vocabulary_is_named(tmp_path, content, line, said):
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError) as error:
        Preprocessor(path)
    for words in (f"{path}:{line}:", *said):
        assert words in str(error.value)


@pytest.mark.parametrize("seq_length", [2, 0, -1])
def test_a_seq_length_without_room(make_sides, seq_length):
    preprocessor, _ = make_sides(True, False)
    pieces = preprocessor.tokenize(["the fox"])
    for call in (
        lambda: Preprocessor(preprocessor.tokens, seq_length=seq_length),
        lambda: preprocessor.bert_pack_inputs([pieces], seq_length),
        lambda: preprocessor.pack([pieces.merge_dims(1, 2)], seq_length),
    ):
        with pytest.raises(ValueError) as error:
            call()
        assert f"`seq_length` (={seq_length})" in str(error.value)


@pytest.mark.parametrize("count", [0, 3])
def test_a_wrong_number_of_segments(make_sides, count):
    preprocessor, _ = make_sides(True, False)
    with pytest.raises(ValueError, match=f"got {count}"):
        preprocessor.bert_pack_inputs([preprocessor.tokenize(["the fox"])] * count, 8)


def test_segments_of_different_batches(make_sides):
    # One row must not be repeated beside three.
    preprocessor, _ = make_sides(True, False)
    one, three = preprocessor.tokenize(["fox"]), preprocessor.tokenize(["the", "quick", "fox"])
    for segments in ([one, three], [three, one]):
        with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
            preprocessor.bert_pack_inputs(segments, 8)
