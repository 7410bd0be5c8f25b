"""Pruning: the pieces that must stay do, and text of kept pieces embeds exactly as before."""

import collections
import gzip
import os
import pathlib
import re
import threading

import numpy as np
import pytest
import tensorflow as tf

import labse_tf
from labse_tf.commands.main import main
from labse_tf.conversion.pruned_releases import prune_release
from labse_tf.data.texts import read_sentences
from labse_tf.encoder.precision import computing_in, stored_as
from labse_tf.encoder.pruning import changed_tokens, count_usage, prune
from labse_tf.files.lines import read_lines
from labse_tf.pretrained import hugging_face
from labse_tf.tokenization.scripts import scripts_in, scripts_of
from labse_tf.tokenization.vocabulary_files import read_vocabulary
from tests.running import call

ROOT = pathlib.Path(__file__).parents[2]
SAMPLE = ROOT / "training" / "sample"
SHARED = ROOT.parent / "shared" / "data" / "train"
BY_HAND = """[unused1] [PAD] [UNK] [CLS] [SEP] [MASK] the ##s cat ##at c a ##a t ##t s
hat h ##h dog d o ##g ж ##ж жук Tom T ##o ##m ё é e""".split()


def write_vocabulary(path, tokens):
    path.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    return path


def make_model(vocab_file, lower_case=False, seed=0):
    size = len(read_vocabulary(vocab_file))
    encoder = labse_tf.Encoder(labse_tf.EncoderConfig(size, 16, 1, 4, 24, 64))
    rng = np.random.default_rng(seed)
    for weight in encoder.weights:
        weight.assign(rng.normal(scale=0.3, size=weight.shape) + ("scale" in weight.name))
    return labse_tf.LaBSE(labse_tf.Preprocessor(vocab_file, 64, lower_case), encoder)


@pytest.fixture
def by_hand(tmp_path):
    return make_model(write_vocabulary(tmp_path / "vocab.txt", BY_HAND))


def tokens_of(model):
    return model.preprocessor.tokens


def pruned_model(model, usage, **options):
    return labse_tf.LaBSE(*prune(model.preprocessor, model.encoder, usage, **options))


def test_counts_by_hand(by_hand):
    usage = count_usage(by_hand.preprocessor, ["the cats", "the hat x", ""])
    counts = dict(zip(BY_HAND, usage.counts.tolist(), strict=True))
    # the | cat ##s; the | hat | x, which is unknown.
    assert {token: n for token, n in counts.items() if n} == {
        "the": 2, "cat": 1, "##s": 1, "hat": 1, "[UNK]": 1,
    }  # fmt: skip
    assert (usage.sentences, usage.characters) == (3, set("the cats hat x"))


def test_what_stays_by_hand(by_hand):
    usage = count_usage(by_hand.preprocessor, ["the cats", "the hat"])
    pruned = pruned_model(by_hand, usage)
    # Special tokens, what was used, and the characters t h e c a s alone and as continuations.
    expected = "[PAD] [UNK] [CLS] [SEP] [MASK] the ##s cat c a ##a t ##t s hat h ##h e".split()
    assert tokens_of(pruned) == expected
    kept = [BY_HAND.index(token) for token in expected]
    old, new = (m.encoder.embeddings.word.numpy() for m in (by_hand, pruned))
    np.testing.assert_array_equal(new, old[kept])
    assert pruned.encoder.config.vocab_size == len(expected)
    # A word that the corpus did not have is spelt.
    pieces = pruned.preprocessor.word_pieces(tf.constant(["chat"])).to_list()[0]
    assert [expected[i] for i in pieces] == ["c", "##h", "##a", "##t"]
    twice = pruned_model(by_hand, usage, min_count=2)
    assert set(expected) - set(tokens_of(twice)) == {"cat", "hat"}  # each once; ##s is a character
    more = tokens_of(pruned_model(by_hand, usage, keep=["dog"], scripts=["CYRILLIC"]))
    assert [t for t in more if t not in expected] == ["dog", "ж", "##ж", "жук", "ё"]


def test_dtypes_stay(by_hand):
    """Those of the weights and of the policy, and what else a layer is made with."""
    usage = count_usage(by_hand.preprocessor, ["the cats"])
    for encoder, dtypes in (
        (stored_as(by_hand.encoder, "bfloat16"), ("bfloat16", "float32")),
        (labse_tf.Encoder(by_hand.encoder.config, "float16", "mixed_bfloat16", "labse", False),
         ("float16", "bfloat16")),
    ):  # fmt: skip
        _, pruned = prune(by_hand.preprocessor, encoder, usage)
        assert (pruned.embeddings.word.dtype.name, pruned.compute_dtype) == dtypes
        assert pruned.dtype_policy.name == encoder.dtype_policy.name
        assert (pruned.name, pruned.trainable) == (encoder.name, encoder.trainable)
        assert pruned.weights[0].dtype == encoder.weights[0].dtype
        np.testing.assert_array_equal(pruned.weights[-1], encoder.weights[-1])


def test_a_frozen_layer_keeps_its_weights(by_hand):
    """Keras lists the weights of frozen layers after the others."""
    usage, text = count_usage(by_hand.preprocessor, ["the cats"]), tf.constant(["the cats", "cat"])
    inputs = by_hand.preprocessor(text)
    expected = by_hand.encoder(inputs)["default"]
    by_hand.encoder.embeddings.trainable = False
    preprocessor, pruned = prune(by_hand.preprocessor, by_hand.encoder, usage)
    np.testing.assert_array_equal(pruned(preprocessor(text))["default"], expected)
    for change in (stored_as, computing_in):
        found = change(by_hand.encoder, "bfloat16")(inputs)["default"]
        np.testing.assert_allclose(found, expected, atol=0.1)


def test_folded_characters_stay(tmp_path):
    model = make_model(write_vocabulary(tmp_path / "vocab.txt", BY_HAND), lower_case=True)
    pruned = pruned_model(model, count_usage(model.preprocessor, ["É Ж"]))
    assert {"e", "ж", "##ж", "é"} <= set(tokens_of(pruned))
    for text in ("É", "Ж", "жж"):
        old, new = (
            [tokens_of(m)[i] for i in m.preprocessor.word_pieces(tf.constant([text])).to_list()[0]]
            for m in (model, pruned)
        )
        assert old == new != ["[UNK]"]
    # In a word with a letter that is unknown no piece is counted: only as characters do they stay.
    vocab_file = write_vocabulary(tmp_path / "more.txt", [*BY_HAND, "f", "##f", "i", "##i", "##e"])
    model = make_model(vocab_file, lower_case=True)
    pruned = pruned_model(model, count_usage(model.preprocessor, ["Éq ﬁq"]))
    assert {"e", "##e", "f", "##f", "i", "##i"} <= set(tokens_of(pruned))


def sample(pattern):
    sentences = []
    for path in sorted(SAMPLE.glob(pattern)):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                sentences += line.rstrip("\n").split("\t")[:2]
    return sentences


@pytest.fixture(scope="module")
def corpus():
    return sample("*.heldout.tsv.gz")


@pytest.fixture(scope="module")
def large(corpus, tmp_path_factory):
    """A model with words, pieces and characters of all languages of the sample."""
    words = sorted({word for sentence in sample("*.train.tsv.gz") for word in sentence.split()})
    rng = np.random.default_rng(0)
    whole = {word for word in rng.permutation(words)[:8000].tolist() if word.isalpha()}
    ends = {f"##{word[len(word) // 2 :]}" for word in rng.permutation(words)[:8000].tolist()}
    characters = {c for word in words for c in word}
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens += sorted(whole | ends | characters | {f"##{c}" for c in characters})
    path = tmp_path_factory.mktemp("large") / "vocab.txt"
    return make_model(write_vocabulary(path, tokens))


def test_exactly_as_before_on_every_sentence_of_the_sample(large, corpus):
    pruned = pruned_model(large, count_usage(large.preprocessor, corpus))
    assert pruned.preprocessor.vocab_size < 0.75 * large.preprocessor.vocab_size
    ids = {token: number for number, token in enumerate(tokens_of(large))}
    old_ids = np.array([ids[token] for token in tokens_of(pruned)])
    strings = tf.constant(corpus)
    old, new = (m.preprocessor(strings) for m in (large, pruned))
    np.testing.assert_array_equal(old_ids[new["input_word_ids"]], old["input_word_ids"])
    # The embeddings follow from the pieces: those of every fourth sentence, for time's sake.
    np.testing.assert_array_equal(pruned.encode(corpus[::4]), large.encode(corpus[::4]))
    total, changed = changed_tokens(large.preprocessor, pruned.preprocessor, corpus)
    assert total == large.preprocessor.word_pieces(strings).flat_values.shape[0]
    assert changed == 0


def wordpiece(word, vocabulary):
    """The longest piece that matches, again and again: in Python."""
    pieces, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary:
                break
        else:
            return ["[UNK]"]
        pieces.append(piece)
        start = end
    return pieces


def test_changed_tokens_against_python(large, corpus):
    sentences = corpus[:4000]
    pruned = pruned_model(large, count_usage(large.preprocessor, sentences), min_count=3)
    total, changed = changed_tokens(large.preprocessor, pruned.preprocessor, sentences)
    by_words = labse_tf.Preprocessor(tokens_of(large))
    old, new = set(tokens_of(large)), set(tokens_of(pruned))
    names = np.array(tokens_of(large))
    expected = 0
    for word in by_words.tokenize(tf.constant(sentences)).merge_dims(0, 1).to_list():
        pieces = names[word].tolist()
        if pieces == ["[UNK]"]:
            continue  # unknown it stays: a smaller vocabulary spells no word that a larger cannot
        text = "".join(piece.removeprefix("##") for piece in pieces)
        assert wordpiece(text, old) == pieces
        expected += len(pieces) * (wordpiece(text, new) != pieces)
    assert changed == expected
    assert 0 < changed < total


def test_refused(by_hand):
    usage = count_usage(by_hand.preprocessor, ["the"])
    with pytest.raises(ValueError, match="`min_count`"):
        pruned_model(by_hand, usage, min_count=0)
    with pytest.raises(ValueError, match=r"Not in the vocabulary.*'absent'"):
        pruned_model(by_hand, usage, keep=["the", "absent"])
    with pytest.raises(ValueError, match="no sentences"):
        count_usage(by_hand.preprocessor, [])


def test_scripts():
    assert scripts_of("ja") == scripts_of("jpn") == {"CJK", "HIRAGANA", "KATAKANA"}
    assert scripts_of("cmn") == scripts_of("zho") == {"CJK"}
    assert scripts_of("sr") == {"CYRILLIC", "LATIN"}
    assert scripts_in("##ка1") == {"CYRILLIC"}
    assert scripts_in("Tomは走る") == {"LATIN", "HIRAGANA", "CJK"}
    assert scripts_in("\u0301 12,!") == set()
    assert scripts_of("fra_Latn") == scripts_of("pt-BR") == scripts_of("nn") == {"LATIN"}
    assert scripts_of("zh-TW") == {"CJK"} and scripts_of("iw") == {"HEBREW"}
    with pytest.raises(ValueError, match=r"'fraa'.*near it: .*fra"):
        scripts_of("fraa")
    from labse_tf.tokenization.scripts import _LANGUAGES

    pairs = {pair for languages in _LANGUAGES.values() for pair in languages.split()}
    assert len(pairs) == 109  # arXiv 2007.01852, appendix


def test_the_scripts_are_those_of_real_text():
    files = sorted(SAMPLE.glob("*.heldout.tsv.gz"))
    assert len(files) >= 8
    for path in [*files, *sorted(SHARED.glob("*.tsv.gz"))]:
        language = path.name.split("-")[0]
        try:
            scripts = scripts_of(language)
        except ValueError:
            assert path.parent != SAMPLE
            continue  # not one of LaBSE's
        lines = [pair[0] for pair, _ in zip(read_pairs_of(path), range(300))]
        letters = [(scripts_in(c), n) for c, n in collections.Counter("".join(lines)).items()]
        if "LATIN" not in scripts:  # technical text is full of names
            letters = [(found, n) for found, n in letters if found != {"LATIN"}]
        share = sum(n for found, n in letters if found and found <= scripts)
        share /= sum(n for found, n in letters if found)
        assert share > 0.9, (language, share)


def read_pairs_of(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield line.rstrip("\n").split("\t")


def test_files_of_sentences(tmp_path):
    (tmp_path / "a.txt").write_bytes("ä\r\n\nlast".encode())
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress("ä\nb\n".encode()))
    (tmp_path / "c.tsv").write_text("ä\tb\nc\td\n")
    assert list(read_sentences(tmp_path / "a.txt")) == ["ä", "", "last"]
    assert list(read_sentences(tmp_path / "b.txt.gz")) == ["ä", "b"]
    assert list(read_sentences(tmp_path / "c.tsv")) == ["ä", "b", "c", "d"]
    assert list(read_lines(tmp_path / "c.tsv")) == ["ä\tb", "c\td"]
    # A text, as pre-training reads it: the name does not end as names of pairs do.
    for name in ("c.tsv.txt", "c.tsv.bak", "about.tfrecord.md"):
        (tmp_path / name).write_text("ä\tb\nc\n")
        assert list(read_sentences(tmp_path / name)) == ["ä\tb", "c"]
    (tmp_path / "bad.txt").write_bytes(b"good\nna\xefve\n")
    with pytest.raises(ValueError, match=r"bad\.txt:2: invalid UTF-8"):
        list(read_sentences(tmp_path / "bad.txt"))
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(b"a\nb\n")[:-9])
    with pytest.raises(ValueError, match=r"cut\.txt\.gz:\d+: the gzip is damaged"):
        list(read_sentences(tmp_path / "cut.txt.gz"))


def test_the_command(large, corpus, tmp_path):
    # A format that is written quickly: the command reads them all.
    hugging_face.write(tmp_path / "large", large.preprocessor, large.encoder)
    (tmp_path / "corpus.txt").write_text("\n".join(corpus[:3000]) + "\n", encoding="utf-8")
    keep = next(t for t in tokens_of(large) if len(t) > 3 and t.isascii() and t.isalpha())
    (tmp_path / "keep.txt").write_text(f"{keep}\n")
    output = call(
        main, "prune", tmp_path / "large", tmp_path / "small", "--corpus", tmp_path / "corpus.txt",
        "--keep", tmp_path / "keep.txt", "--keep-languages", "el",
    )  # fmt: skip
    small = labse_tf.load(tmp_path / "small")
    assert keep in tokens_of(small)
    greek = {t for t in tokens_of(large) if scripts_in(t) == {"GREEK"}}
    assert len(greek) > 100 and greek <= set(tokens_of(small))
    embeddings = large.encode(corpus[:3000])
    np.testing.assert_array_equal(small.encode(corpus[:3000]), embeddings)
    # With its own vocabulary, not the temporary file of the model that was pruned.
    served = tf.saved_model.load(str(tmp_path / "small"))
    np.testing.assert_allclose(served(tf.constant(corpus[:100])), embeddings[:100], atol=1e-6)
    rows = [line.split() for line in output.splitlines()]
    assert rows[1][:2] == ["word", "pieces"]
    assert rows[1][2] == f"{large.preprocessor.vocab_size:,}"
    assert rows[1][3] == f"{small.preprocessor.vocab_size:,}"
    sizes = [
        sum(p.stat().st_size for p in (tmp_path / name).rglob("*") if p.is_file())
        for name in ("large", "small")
    ]
    assert rows[3][3:] == [*(f"{s / 1e6:,.1f}" for s in sizes), f"{sizes[1] / sizes[0]:.1%}"]
    total = large.preprocessor.word_pieces(tf.constant(corpus[:3000])).flat_values.shape[0]
    assert output.splitlines()[-1].startswith(f"0 of the {total:,} tokens of 3,000 sentences")


def test_a_corpus_from_pipes(by_hand, tmp_path, monkeypatch):
    """Read twice as a file is: /dev/fd/N of a shell's `<(...)`, a FIFO by its ending, and stdin."""
    hugging_face.write(tmp_path / "model", by_hand.preprocessor, by_hand.encoder)
    tokens = []

    def save(model, path):  # a release takes seconds
        path.mkdir()
        tokens.append(tokens_of(model))

    monkeypatch.setattr(labse_tf.LaBSE, "save", save)
    texts = {"a": "the cats\n\nthe \u2028 hat\n", "b.tsv": "the dog\tжук\n", "-": "Tom\r\n"}
    for name, text in texts.items():
        (tmp_path / f"file-{name.replace('-', 'stdin')}").write_bytes(text.encode())
    files = [tmp_path / "file-a", tmp_path / "file-b.tsv", tmp_path / "file-stdin"]
    expected = prune_release(tmp_path / "model", tmp_path / "from_files", files, min_count=2)
    (reading, writing), fifo = os.pipe(), tmp_path / "b.tsv"
    os.write(writing, texts["a"].encode())
    os.close(writing)
    os.mkfifo(fifo)
    threading.Thread(target=fifo.write_text, args=[texts["b.tsv"]], daemon=True).start()
    with open(files[2]) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        pipes = [f"/dev/fd/{reading}", fifo, "-"]
        found = prune_release(tmp_path / "model", tmp_path / "from_pipes", pipes, min_count=2)
    os.close(reading)
    assert [line.split() for line in found[-1:]] == [line.split() for line in expected[-1:]]
    assert "of 6 sentences change" in found[-1] and not found[-1].startswith("0 ")
    assert tokens[0] == tokens[1] and "dog" not in tokens[0]
    with pytest.raises(FileNotFoundError, match="There is no file"):
        prune_release(tmp_path / "model", tmp_path / "other", [tmp_path])
    threading.Thread(target=fifo.write_text, args=["no tab\n"], daemon=True).start()
    with pytest.raises(ValueError, match=rf"^{fifo}:1: expected 2 columns"):
        prune_release(tmp_path / "model", tmp_path / "other", [fifo])


def test_errors_of_the_command(by_hand, tmp_path):
    hugging_face.write(tmp_path / "model", by_hand.preprocessor, by_hand.encoder)
    (tmp_path / "corpus.txt").write_text("the cat\n")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "keep.txt").write_text("the\nabsent\n")
    before = sorted(p.name for p in tmp_path.iterdir())
    small, corpus = tmp_path / "small", [tmp_path / "corpus.txt"]
    for destination, files, options, said in (
        (tmp_path / "model", corpus, {}, "exists"),
        (small, [tmp_path / "absent.txt"], {}, "absent.txt"),
        (small, [tmp_path / "empty.txt"], {}, "empty.txt' is empty"),
        (small, corpus, {"min_count": 0}, "`min_count` (=0)"),
        (small, corpus, {"languages": ["fr", "xx"]}, "'xx' is not the code of one"),
        (small, corpus, {"keep_file": tmp_path / "keep.txt"}, "keep.txt:2: 'absent'"),
    ):
        with pytest.raises((ValueError, OSError), match=re.escape(said)):
            prune_release(tmp_path / "model", destination, files, **options)
    command = ["prune", tmp_path / "model", tmp_path / "model", "--corpus", *corpus]
    message = call(main, *command, status=2)
    assert message == f"error: {str(tmp_path / 'model')!r} exists. Choose another path."
    assert sorted(p.name for p in tmp_path.iterdir()) == before
