"""Pairs of lists and Datasets: as from a file of them; and what is refused."""

import numpy as np
import pytest
import tensorflow as tf

from labse_tf import Preprocessor, read_pairs
from labse_tf.data.pair_rows import PairRows, as_rows
from labse_tf.files.checksums import checksum

WORDS = [*"abcdefgh", *(f"##{c}" for c in "abcdefgh")]
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
NUMBERS = np.random.default_rng(0).integers(8, size=[50, 3, 5])
TRIPLES = [tuple(" ".join(WORDS[n] for n in side) for side in row) for row in NUMBERS]
TRIPLES[7] = ("a\tb c", "d\ne", "f\r\ng")


def make_preprocessor(folder, tokenization="google"):
    path = folder / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in TOKENS))
    return Preprocessor(path, seq_length=16, tokenization=tokenization)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The file of TRIPLES, without what a file cannot hold."""
    path = tmp_path_factory.mktemp("pairs") / "a.tsv"
    rows = [[text.translate(str.maketrans("\t\n\r", "   ")) for text in row] for row in TRIPLES]
    path.write_text("".join("\t".join(row) + "\n" for row in rows))
    return path


def dataset_of(rows):
    columns = tuple(tf.constant(column) for column in zip(*rows))
    return tf.data.Dataset.from_tensor_slices(columns)


def generated(rows):
    """Its cardinality is unknown."""
    spec = (tf.TensorSpec([], tf.string),) * len(rows[0])
    return tf.data.Dataset.from_generator(lambda: iter(rows), output_signature=spec)


def test_batches_are_those_of_the_file(path, tmp_path):
    """To the bit, from the middle of an epoch to the next one, with hard negatives."""
    preprocessor = make_preprocessor(tmp_path)
    options = dict(seed=3, shuffle_buffer=20, window=3, hard_negatives=1, skip=4)
    context = tf.distribute.InputContext(2, 1, 2)  # the second of two workers
    datasets = (
        read_pairs(pairs, preprocessor, 8, input_context=context, **options).take(6)
        for pairs in (path, TRIPLES)
    )
    for expected, found in zip(*datasets, strict=True):
        for a, b in zip(tf.nest.flatten(expected), tf.nest.flatten(found), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("make", [list, np.array, dataset_of, generated])
def test_lines_are_those_of_the_file(make, path):
    lines = path.read_bytes().splitlines()
    given = PairRows(make(TRIPLES), 1)
    for _ in range(2):
        assert list(given.lines.as_numpy_iterator()) == lines


@pytest.mark.parametrize("tokenization", ["google", "hugging-face"])
def test_what_separates_columns_and_lines_is_white_space(tokenization, tmp_path):
    """So that a space in its place changes no token."""
    preprocessor = make_preprocessor(tmp_path, tokenization)
    pieces = preprocessor.word_pieces(tf.constant(["a b c d e", "a\tb\nc\rd\r\ne"])).to_list()
    assert pieces[0] == pieces[1] == [TOKENS.index(c) for c in "abcde"]


@pytest.mark.parametrize(
    ("make", "kind"), [(list, "list"), (np.array, "list"), (dataset_of, "tf.data.Dataset")]
)
def test_what_is_known_of_them(make, kind, path):
    given = as_rows(make(TRIPLES), 1)
    assert (given.count, given.name) == (50, f"a {kind} of 50 pairs")
    assert given.checksum == checksum(path)
    assert list(given.pairs())[6:8] == [TRIPLES[6][:2], ("a b c", "d e")]
    assert len(given.sample) == 50
    assert as_rows(given) is given


def test_files_are_no_rows(path):
    for files in (path, str(path), [path], (str(path),), [], ()):
        assert as_rows(files) is None


BATCHED = "`unbatch` it"
A, B = "Guten Tag", "Good day"


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([(A, B), (A,)], r"Pair 2: expected 2 str .* got \('Guten Tag',\)"),
        ([(A, B), (A, B, "Hello")], r"Pair 2: expected 2 .*`hard_negatives` is 0\), but got"),
        ([(A, B), A], "Pair 2: expected 2 .* but got 'Guten Tag'"),
        ([(A, B), (A, None)], "Pair 2: expected 2 str"),
        ([(A, B), None], "Pair 2: expected 2 str .* but got None"),
        ([(A, B), (A, " \t")], "Pair 2: the target is empty"),
        ([(A, "\ud800")], "Pair 1 .* no UTF-8 form: surrogates not allowed"),
        (iter([(A, B)]), "are a list_iterator, which cannot be read again"),
        (zip([A], [B]), "are a zip, which .* Give a list"),
        ({(A, B)}, "are a set, which"),
        ({A: B}, "are a dict, which"),
        (lambda: dataset_of([(A, B), (A, "")]), "Pair 2: the target is empty"),
        (lambda: dataset_of([(A, b"\xff")]), "Pair 1: invalid UTF-8"),
        (lambda: dataset_of([(A, B)]).take(0), "tf.data.Dataset of translation pairs is empty"),
        (lambda: dataset_of([(A, B)]).repeat(), "has no end. Leave out `repeat`"),
        (lambda: dataset_of([(A, B)]).batch(1), BATCHED),
        (lambda: tf.data.Dataset.range(3), BATCHED),
        (lambda: dataset_of(TRIPLES), r"tuples of 2 string scalars .*`hard_negatives` is 0"),
        (lambda: dataset_of([row[:2] for row in TRIPLES]).shuffle(50), "another order, .* second"),
    ],
)  # fmt: skip
def test_what_is_refused(pairs, said):
    with pytest.raises(ValueError, match=said):
        as_rows(pairs() if callable(pairs) else pairs)


def test_an_empty_list_of_pairs():
    with pytest.raises(ValueError, match="The list of translation pairs is empty"):
        PairRows([])


def test_fewer_pairs_than_a_batch(tmp_path):
    preprocessor = make_preprocessor(tmp_path)
    with pytest.raises(ValueError, match="hold 2 pairs, fewer than one global batch of 3"):
        read_pairs([(A, B), (B, A)], preprocessor, 3)
