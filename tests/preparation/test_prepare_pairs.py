"""prepare_pairs against plain slow Python, what it writes against what read_pairs reads."""

import collections
import dataclasses
import gzip
import hashlib
import itertools
import json
import os
import random
import signal
import tempfile
import time
import unicodedata
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import labse_tf
from labse_tf.data.duplicates import leakage_keys
from labse_tf.data.pair_files import read_columns
from labse_tf.preparation.filters import columns, script_shares
from labse_tf.preparation.options import PreparationOptions
from labse_tf.preparation.prepare_pairs import prepare_pairs
from labse_tf.preparation.raw_pairs import read_raw_pairs
from labse_tf.preparation.report import preparation_table
from tests.data.test_ranking_pairs import example
from tests.fresh import fresh
from training.prepare_pairs import main

# Off, but for what reads as no pair at all.
NOTHING = PreparationOptions(
    max_ratio=1e9, min_script_share=0.0, deduplicate=False, max_length=10**9, format="tsv"
)


def only(**options):
    return dataclasses.replace(NOTHING, **options)


def write(path, lines):
    text = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def written(folder, counts):
    """{name: [pairs]} of an output, by read_columns, whose shards must be as counts has them."""
    pairs = {}
    for file in counts["files"]:
        shards = {name: list(read_columns(folder / name)) for name in file["shards"]}
        assert {name: len(rows) for name, rows in shards.items()} == file["shards"]
        pairs[file["name"]] = list(itertools.chain(*shards.values()))
        assert len(pairs[file["name"]]) == file["kept"]
        assert file["read"] == file["kept"] + sum(file["dropped"].values())
    names = {name for file in counts["files"] for name in file["shards"]}
    assert set(os.listdir(folder)) == names | {"counts.json"}
    assert json.loads((folder / "counts.json").read_text(encoding="utf-8")) == counts
    return pairs


def prepare(tmp_path, lines, options, name="deu-eng", **arguments):
    """What is left of one file, sorted, and what each filter that dropped anything dropped."""
    path = write(tmp_path / f"{name}.tsv", lines)
    counts = prepare_pairs([path], tmp_path / "out", options, overwrite=True, **arguments)
    pairs = written(tmp_path / "out", counts)[name]
    return sorted(pairs), {k: v for k, v in counts["files"][0]["dropped"].items() if v}


# The same rules again, a character and a pair at a time.

SCRIPTS = {"deu": "LATIN", "rus": "CYRILLIC", "heb": "HEBREW", "eng": "LATIN"}


def slow_share(text, script):
    letters = [c for c in text if unicodedata.category(c) in ("Lu", "Ll", "Lt", "Lo")]
    return sum(unicodedata.name(c, "?").startswith(script) for c in letters) / max(len(letters), 1)


def slow_columns(text):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def slow_key(text):
    text = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in text if unicodedata.category(c)[0] in "LMN")


def slowly(files, options, excluded):
    """{name: (Counter of dropped, pairs)} of {name: lines}."""
    keys = {slow_key(text) for text in excluded} - {""}
    results, seen, kept = {}, collections.defaultdict(list), collections.defaultdict(list)
    for name in sorted(files, key=lambda name: (name[:7], name)):
        dropped, pairs = collections.Counter(), []
        equal, before = seen[name[:7]], kept[name[:7]]
        for line in files[name]:
            pair = [" ".join(text.split()) for text in [*line.split("\t"), ""][:2]]
            if options.nfc:
                pair = [unicodedata.normalize("NFC", text) for text in pair]
            pair = tuple(pair)
            lengths = sorted(map(slow_columns, pair))
            s = options.ratio_smoothing
            if "" in pair:
                reason = "empty"
            elif pair[0] == pair[1]:
                reason = "identical"
            elif any(not options.min_length <= len(x) <= options.max_length for x in pair):
                reason = "length"
            elif (lengths[1] + s) / (lengths[0] + s) > options.max_ratio:
                reason = "ratio"
            elif any(
                code in SCRIPTS and slow_share(text, SCRIPTS[code]) < options.min_script_share
                for text, code in zip(pair, (name[:3], name[4:7]))
            ):
                reason = "language"
            elif not keys.isdisjoint(map(slow_key, pair)):
                reason = "excluded"
            elif options.deduplicate and pair in equal:
                reason = "duplicate"
            elif any(
                0 < most <= [p[side] for p in before].count(pair[side])
                for side, most in enumerate((options.max_per_source, options.max_per_target))
            ):
                reason = "repeated"
                equal.append(pair)
            else:
                equal.append(pair)
                before.append(pair)
                pairs.append(pair)
                continue
            dropped[reason] += 1
        results[name] = dropped, pairs
    return results


WORDS = {
    "LATIN": ["a", "Tom", "tom", "Ja!", "12", "\u00e9", "e\u0301", "ﬁ", "I am"],
    "CYRILLIC": ["да", "Да.", "кот"],
    "HEBREW": ["חתול", "שלום"],
    "": ["貓", "ねこ", "…"],
}


def dirty_files(seed):
    """{name: lines} of which every filter has some to drop."""
    rng = random.Random(seed)

    def side(code):
        scripts = [SCRIPTS.get(code, "LATIN")] * 4 + [*WORDS]
        words = [rng.choice(WORDS[rng.choice(scripts)]) for _ in range(rng.choice([0, 1, 1, 2, 4]))]
        return rng.choice([" ", " ", "  ", "\u3000", ""]).join(words)

    files = {}
    for name in rng.sample(["deu-eng", "deu-eng.b", "rus-eng", "heb-eng", "xxx-eng"], 3):
        lines = [f"{side(name[:3])}\t{side('eng')}" for _ in range(rng.randint(1, 60))]
        lines += [*rng.choices(lines, k=20)]
        rng.shuffle(lines)
        files[name] = [*lines, rng.choice(["", "Tom\ta\tcorpus\tmore"])]
    return files


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    excluded=st.lists(st.sampled_from(["TOM", "ja", "да?", "é"]), max_size=2),
    options=st.builds(
        PreparationOptions,
        nfc=st.booleans(),
        min_length=st.integers(1, 2),
        max_length=st.integers(6, 30),
        max_ratio=st.sampled_from([1.5, 3.0, 9.0]),
        ratio_smoothing=st.sampled_from([0.0, 2.0, 10.0]),
        min_script_share=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
        deduplicate=st.booleans(),
        max_per_source=st.integers(0, 2),
        max_per_target=st.integers(0, 2),
        format=st.just("tsv"),
        shards=st.integers(1, 3),
    ),
)
def test_every_filter_against_slow_python(seed, excluded, options):
    files = dirty_files(seed)
    expected = slowly(files, options, excluded)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        paths = [write(folder / f"{name}.tsv", lines) for name, lines in files.items()]
        write(folder / "test.txt", excluded)
        try:
            with mock.patch("os.fsync"):  # 150 times; whether it is called is tested elsewhere
                counts = prepare_pairs(
                    paths, folder / "out", options, exclude=[folder / "test.txt"][: len(excluded)]
                )
        except ValueError as error:
            assert "No pair is left" in str(error)
            assert not any(pairs for _, pairs in expected.values())
            return
        pairs = written(folder / "out", counts)
    assert [file["name"] for file in counts["files"]] == list(expected)
    for file in counts["files"]:
        dropped, kept = expected[file["name"]]
        assert {name: n for name, n in file["dropped"].items() if n} == dropped
        assert sorted(pairs[file["name"]]) == sorted(kept)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"])), max_size=5))
def test_characters_in_bulk(texts):
    assert columns(texts).tolist() == [slow_columns(text) for text in texts]
    assert leakage_keys(texts or [""]) == [slow_key(text) for text in texts or [""]]
    for script in ("LATIN", "HANGUL", "CYRILLIC"):
        expected = [slow_share(text, script) for text in texts]
        np.testing.assert_allclose(script_shares(texts, {script}), expected)


def test_filters_by_hand(tmp_path):
    # (7 + 3) / (2 + 3) = 2: at the limit; a column more is too much. 4 wide characters are 8.
    lines = ["OK\tAlright", "OK\tAlright!", "猫猫猫猫\tAlright!", "猫猫猫猫\tOK"]
    kept, dropped = prepare(tmp_path, lines, only(max_ratio=2.0, ratio_smoothing=3.0))
    assert kept == [("OK", "Alright"), ("猫猫猫猫", "Alright!")] and dropped == {"ratio": 2}
    # Letters alone count: 3 of 6 are Cyrillic; a number is in no language.
    lines = ["кот, 12 - cat!\tA cat", "кот cats\tCats", "12\tTwelve", "Нет\tНет.", "кот\t12"]
    kept, dropped = prepare(tmp_path, lines, only(min_script_share=0.5), "rus-eng")
    assert kept == [("кот, 12 - cat!", "A cat")] and dropped == {"language": 4}
    # Case, width, punctuation and spaces do not hide a test sentence, marks do.
    lines = ["Ｋatze!\tx", "x\tWHERE IS TOM", "Katzé\tx", "...\tx"]
    write(tmp_path / "a.test", ["katze", "", "?!"])
    write(tmp_path / "b.tsv", ["Wo?\tWhere is Tom?"])
    kept, dropped = prepare(
        tmp_path, lines, NOTHING, exclude=[tmp_path / "a.test", tmp_path / "b.tsv"]
    )
    assert kept == [("...", "x"), ("Katzé", "x")] and dropped == {"excluded": 2}
    # Composed and decomposed are equal once normalised, and so a duplicate.
    lines = ["Katze\u0301\tcat", "Katz\u00e9  \t cat", "katz\u00e9\tcat"]
    kept, dropped = prepare(tmp_path, lines, only(deduplicate=True))
    assert kept == [("Katz\u00e9", "cat"), ("katz\u00e9", "cat")] and dropped == {"duplicate": 1}
    kept, dropped = prepare(tmp_path, lines, only(deduplicate=True, nfc=False))
    assert len(kept) == 3 and not dropped
    kept, dropped = prepare(tmp_path, lines, only(max_per_target=2))
    assert len(kept) == 2 and dropped == {"repeated": 1}


def test_languages_of_names_and_of_flags(tmp_path):
    def languages(name, **options):
        path = write(tmp_path / name, ["кот\tcat", "cat\tкот"])
        counts = prepare_pairs([path], tmp_path / "out", only(**options), overwrite=True)
        return counts["files"][0], preparation_table(counts)

    file, table = languages("ru-en.news.tsv", min_script_share=0.5)
    assert (file["languages"], file["kept"]) == (["ru", "en"], 1)
    assert file["scripts"] == [["CYRILLIC"], ["LATIN"]] and len(table) == 4
    file, _ = languages("RU-EN.NEWS.TSV", min_script_share=0.5)
    assert (file["name"], file["languages"], file["kept"]) == ("RU-EN.NEWS", ["ru", "en"], 1)
    file, table = languages("corpus.tsv", min_script_share=0.5)
    assert (file["languages"], file["kept"]) == (["", ""], 2)
    assert table[-2].endswith("not known: none given") and table[-2].startswith("sources not")
    file, table = languages("xxx-eng.tsv", min_script_share=0.5)
    assert (file["languages"], file["kept"]) == (["xxx", "eng"], 1)
    assert table[-1].endswith("not known: xxx")
    file, _ = languages(
        "deu-eng.tsv", min_script_share=0.5, source_language="eng", target_language="rus"
    )
    assert (file["languages"], file["kept"]) == (["eng", "rus"], 1)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """deu-eng in two gzipped shards, and rus-eng as TFRecord: distinct pairs."""
    folder = tmp_path_factory.mktemp("many")
    rows = [f"der {i} der\tthe {i} the" for i in range(3000)]
    paths = [
        write(folder / f"deu-eng.tsv-0000{i}-of-00002.gz", rows[i * 1500 : (i + 1) * 1500])
        for i in (0, 1)
    ]
    paths.append(folder / "rus-eng.tfrecord")
    with tf.io.TFRecordWriter(str(paths[-1])) as writer:
        for i in range(50):
            writer.write(example(src_raw=f"кошка {i}".encode(), tgt_raw=f"cat {i}".encode()))
    return paths


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("file_format", ["tfrecord", "tsv"])
def test_read_pairs_reads_the_shards(tmp_path, many, vocab_file, file_format, compress):
    options = PreparationOptions(format=file_format, compress=compress, shards=7)
    counts = prepare_pairs(many, tmp_path / "out", options)
    names = [
        f"deu-eng.{file_format}-0000{i}-of-00007{'.gz' * compress}" for i in range(7)
    ]  # 3,000 = 7 * 428 + 4
    assert counts["files"][0]["shards"] == dict(zip(names, [429] * 4 + [428] * 3))
    pairs = written(tmp_path / "out", counts)
    assert sorted(pairs["deu-eng"]) == sorted((f"der {i} der", f"the {i} the") for i in range(3000))
    assert sorted(pairs["rus-eng"]) == sorted((f"кошка {i}", f"cat {i}") for i in range(50))
    # Shards are alike: each has its seventh of the first and of the second half, in another order.
    for name in names:
        numbers = [int(source.split()[1]) for source, _ in read_columns(tmp_path / "out" / name)]
        assert abs(sum(number < 1500 for number in numbers) - 214) < 45  # 4 standard deviations
        assert numbers != sorted(numbers)
    if compress != (file_format == "tsv"):
        return  # two of the four, since it takes seconds
    preprocessor = labse_tf.Preprocessor(vocab_file, seq_length=16)
    dataset = labse_tf.read_pairs(
        [*(tmp_path / "out").glob(f"*.{file_format}-*")], preprocessor, 100, exponent=0.0
    )
    # The shards of a file are one file: of two files with exponent 0 each has half of the pairs.
    cyrillic = preprocessor(["к"])["input_word_ids"][0, 1]
    source = tf.concat([x["input_word_ids"][:, 1] for x, _ in dataset.take(20)], 0)
    assert np.mean(source == cyrillic) == pytest.approx(0.5, abs=0.05)


def test_fewer_pairs_than_shards(tmp_path):
    path = write(tmp_path / "a.tsv", ["x\ty", "", "x\tz"])
    counts = prepare_pairs([path], tmp_path / "out", only(shards=5))
    assert counts["files"][0]["shards"] == {"a.tsv-00000-of-00002": 1, "a.tsv-00001-of-00002": 1}
    assert sorted(written(tmp_path / "out", counts)["a"]) == [("x", "y"), ("x", "z")]
    # A file of which nothing is left has no shards; others have.
    other = write(tmp_path / "b.tsv", ["\t"])
    counts = prepare_pairs([path, other], tmp_path / "out", only(), overwrite=True)
    assert written(tmp_path / "out", counts)["b"] == [] and counts["files"][1]["read"] == 1


@pytest.mark.parametrize("name", ["b.tsv-{:05}-of-00002", "b.tsv-{:05}-of-00002.gz"])
def test_an_empty_shard_does_not_end_the_run(tmp_path, name):
    """Neither one of no bytes nor one that gzip made of them; its file's other shards are read."""
    good = write(tmp_path / "a.tsv", ["x\ty"])
    shards = [tmp_path / name.format(i) for i in (0, 1)]
    write(shards[0], [])
    write(shards[1], ["v\tw"])
    with pytest.warns(UserWarning, match=rf"{shards[0]}.* is empty. It is left out"):
        counts = prepare_pairs([good, *shards], tmp_path / "out", only())
    pairs = written(tmp_path / "out", counts)
    assert pairs == {"a": [("x", "y")], "b": [("v", "w")]}
    (tmp_path / name.format(0)).write_bytes(b"")
    with pytest.warns(UserWarning, match="is empty. It is left out"):
        prepare_pairs([good, *shards], tmp_path / "out", only(), overwrite=True)


def test_an_empty_file_is_refused_before_others_are_read(tmp_path, monkeypatch):
    files = [write(tmp_path / "a.tsv", ["x\ty"]), write(tmp_path / "b.tsv", [])]
    read = []
    monkeypatch.setattr("labse_tf.preparation.prepare_pairs.read_raw_pairs", read.append)
    with pytest.raises(ValueError, match=r"b.tsv' is empty"):
        prepare_pairs(files, tmp_path / "out", only())
    assert not read


def test_windows_of_the_order(tmp_path, monkeypatch):
    monkeypatch.setattr("labse_tf.preparation.shards._WINDOW", 10)
    path = write(tmp_path / "a.tsv", [f"{i}\tx" for i in range(35)])
    counts = prepare_pairs([path], tmp_path / "out", only(shards=4))
    shards = [
        [int(source) // 10 for source, _ in read_columns(tmp_path / "out" / name)]
        for name in counts["files"][0]["shards"]
    ]
    assert sorted(map(len, shards)) == [8, 9, 9, 9]
    assert sorted(itertools.chain(*shards)) == [0] * 10 + [1] * 10 + [2] * 10 + [3] * 5
    for shard in shards:  # of each window of 10 a shard of 4 has 2 or 3, and windows are in order
        assert shard == sorted(shard) and {shard.count(window) for window in (0, 1, 2)} <= {2, 3}


def test_same_seed_same_bytes(tmp_path, many):
    def digests(name, files, **options):
        options = PreparationOptions(shards=3, **options)
        prepare_pairs(files, tmp_path / name, options)
        return {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (tmp_path / name).iterdir()
        }

    forms = [{}, {"compress": True}, {"compress": True, "format": "tsv"}]
    first = [digests(f"a{i}", many, **options) for i, options in enumerate(forms)]
    time.sleep(1.01 - time.time() % 1)  # gzip could note the time, in whole seconds
    for i, (once, options) in enumerate(zip(first, forms)):
        assert digests(f"b{i}", many[::-1], **options) == once
        # Without another language before it.
        alone = digests(f"c{i}", many[2:], **options)
        assert all(once[name] == alone[name] for name in alone if name != "counts.json")
        other = digests(f"d{i}", many, seed=1, **options)
        assert other.keys() == once.keys() and not any(other[name] == once[name] for name in once)


def test_scores_are_the_models_cosines(tmp_path, model, monkeypatch):
    monkeypatch.setattr("labse_tf.preparation.raw_pairs.BLOCK", 7)  # several blocks
    rng = np.random.default_rng(0)
    words = "the cat Tom green a s sat on".split()
    pairs = [[" ".join(rng.choice(words, rng.integers(1, 7))) for _ in (0, 1)] for _ in range(60)]
    pairs = sorted({tuple(pair) for pair in pairs if pair[0] != pair[1]})
    rng.shuffle(pairs)
    pairs = [tuple(pair) for pair in pairs]
    lines = ["\t".join(pair) for pair in pairs]
    cosines = np.diagonal(model.similarity(*map(list, zip(*pairs))))
    order = np.argsort(-cosines)
    # Halfway between two, so that rounding decides nothing.
    threshold = float(cosines[order[19:21]].mean())
    kept, dropped = prepare(tmp_path, lines, only(min_score=threshold), model=model)
    assert kept == sorted(pairs[i] for i in order[:20])
    assert dropped == {"score": len(pairs) - 20}
    share = 25.5 / len(pairs)  # rounded up, to 26
    kept, dropped = prepare(tmp_path, lines, only(keep_best=share), model=model)
    assert kept == sorted(pairs[i] for i in order[:26])
    assert dropped == {"score": len(pairs) - 26}
    counts = json.loads((tmp_path / "out" / "counts.json").read_text())
    assert counts["model"].startswith("sha256:")


def test_a_byte_order_mark(tmp_path):
    """Without it the second line is a duplicate."""
    kept, dropped = prepare(tmp_path, ["\ufeffJa\tYes", "Ja\tYes"], only(deduplicate=True))
    assert kept == [("Ja", "Yes")] and dropped == {"duplicate": 1}


def test_errors_leave_nothing(tmp_path, model):
    good = write(tmp_path / "deu-eng.tsv.gz", ["Ja\tYes"] * 20)
    broken = tmp_path / "broken.tsv.gz"
    broken.write_bytes(gzip.compress(os.urandom(99).hex().encode() + b"\ta\n")[:-20])

    def refused(match, files=(good,), error=ValueError, options=None, **arguments):
        before = {*os.listdir(tmp_path)}
        with pytest.raises(error, match=match):
            prepare_pairs(files, tmp_path / "out", options, **arguments)
        assert {*os.listdir(tmp_path)} == before and not (tmp_path / "out").exists()

    lines = [f"a {i}\tb" for i in range(10_000)]
    one_column = write(tmp_path / "one.tsv", [*lines, "no tab"])
    refused(r"one\.tsv:10001: .*no TAB.*'no tab'", [good, one_column])
    latin = tmp_path / "latin.tsv"
    latin.write_bytes(("\n".join(lines) + "\nJa\tOui \xe9\n").encode("latin-1"))
    refused(r"latin\.tsv:10001: invalid UTF-8 .*0xe9", [good, latin])
    refused(r"broken\.tsv\.gz:1: the gzip is damaged", [good, broken])
    refused("is empty", [good, write(tmp_path / "empty.tsv", [])])
    refused("absent", [good, tmp_path / "absent.tsv"], FileNotFoundError)
    refused("does not say its format", [write(tmp_path / "a.txt", ["a\tb"])])
    refused("No files", [])
    refused("absent", exclude=[tmp_path / "absent"], error=FileNotFoundError)
    refused("both be written as 'deu-eng'", [good, write(tmp_path / "deu-eng.tsv", ["a\tb"])])
    refused(
        "No pair is left. Of 20 were dropped: length 20",
        options=PreparationOptions(min_length=100),
    )
    refused("need a `model`", options=PreparationOptions(min_score=0.5))
    refused("neither `min_score` nor", model=model)
    for name, value in (
        ("min_length", 0),
        ("max_length", 0),
        ("max_ratio", 0.5),
        ("max_ratio", float("nan")),
        ("ratio_smoothing", -1.0),
        ("min_script_share", 1.5),
        ("language_filter", "fasttext"),
        ("language_odds", 0.5),
        ("max_per_target", -1),
        ("min_score", 2.0),
        ("keep_best", 0.0),
        ("format", "json"),
        ("shards", 0),
        ("seed", -1),
    ):
        with pytest.raises(ValueError, match=rf"`{name}` \(="):
            PreparationOptions(**{name: value})
    with pytest.raises(ValueError, match="exclude each other"):
        PreparationOptions(min_score=0.5, keep_best=0.5)


def test_only_its_own_output_is_overwritten(tmp_path):
    files = [write(tmp_path / "deu-eng.tsv", ["Ja\tYes"])]
    out = tmp_path / "out"
    prepare_pairs(files, out)
    with pytest.raises(FileExistsError, match="out"):
        prepare_pairs(files, out)
    inside = write(out / "rus-eng.tsv", ["Да\tYes"])
    with pytest.raises(ValueError, match=r"rus-eng.tsv.*would be overwritten"):
        prepare_pairs([inside], out, overwrite=True)
    with pytest.raises(FileExistsError, match=r"rus-eng.tsv' is not part of the earlier output"):
        prepare_pairs(files, out, overwrite=True)
    os.remove(inside)
    prepare_pairs(files, out, overwrite=True)
    assert sorted(os.listdir(out)) == ["counts.json", "deu-eng.tfrecord-00000-of-00001"]
    (tmp_path / "mine").mkdir()
    with pytest.raises(FileExistsError, match=r"no counts.json"):
        prepare_pairs(files, tmp_path / "mine", overwrite=True)
    write(tmp_path / "mine" / "counts.json", ["{}"])
    with pytest.raises(FileExistsError, match=r"counts.json' is not part of the earlier output"):
        prepare_pairs(files, tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine").exists()


# Something happens in the middle of the second file.
IN_THE_MIDDLE = """
import os, signal, sys, time
import labse_tf.preparation.prepare_pairs as preparation
from training.prepare_pairs import main

read = preparation.read_raw_pairs

def read_and_wait(path):
    yield from read(path)
    if "b.tsv" in path:
        yield [(f"{i} a", "b") for i in range(100_000)]  # more than a window: some are written
        happens()
        time.sleep(60)

preparation.read_raw_pairs = read_and_wait
main(sys.argv[1:])
"""


def two_files(tmp_path):
    paths = [write(tmp_path / f"{name}.tsv", ["a\tb"]) for name in "ab"]
    return ["--pairs", *map(str, paths), "--output", str(tmp_path / "out")]


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["", *two_files(tmp_path)])
    monkeypatch.setattr(
        "labse_tf.preparation.prepare_pairs.read_raw_pairs", read_raw_pairs
    )  # put back
    begun = []

    def interrupt():
        begun.extend(path.name for path in tmp_path.glob(".out.*/*"))
        signal.raise_signal(signal.SIGINT)

    # A job in a shell's background ignores the signal, unless told otherwise.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            exec(IN_THE_MIDDLE, {"happens": interrupt})
    finally:
        signal.signal(signal.SIGINT, before)
    assert sorted(begun) == ["a.tfrecord-00000-of-00001", "b.tfrecord.0.unfinished"]
    assert sorted(os.listdir(tmp_path)) == ["a.tsv", "b.tsv"]


def test_a_kill_leaves_no_output(tmp_path):
    code = "happens = lambda: os.kill(os.getpid(), signal.SIGKILL)" + IN_THE_MIDDLE
    assert fresh("-c", code, *two_files(tmp_path)).returncode == -signal.SIGKILL
    left = {*os.listdir(tmp_path)} - {"a.tsv", "b.tsv"}
    assert len(left) == 1 and left.pop().endswith(".unfinished")


def test_program(tmp_path):
    write(tmp_path / "deu-eng.tsv.gz", ["Ja, ja\tYes", "Nein\tNo", "Нет\tNo", "Ja, ja\tYes"])
    write(tmp_path / "test.txt", ["nein!"])
    arguments = [
        "--pairs", tmp_path / "deu-eng.tsv.gz", "--output", tmp_path / "out",
        "--exclude", tmp_path / "test.txt", "--format", "tsv", "--compress",
    ]  # fmt: skip
    done = fresh("-m", "training.prepare_pairs", *arguments)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    names = "read empty identical length ratio language excluded duplicate kept".split()
    assert rows[0] == names
    assert rows[1] == ["deu-eng", *"4 0 0 0 0 1 1 1 1".split()]
    assert rows[3] == [f"{100 * n / 4:.2f}%" for n in (4, 0, 0, 0, 0, 1, 1, 1, 1)]
    out = tmp_path / "out" / "deu-eng.tsv-00000-of-00001.gz"
    assert gzip.decompress(out.read_bytes()).decode() == "Ja, ja\tYes\n"
    with pytest.raises(FileExistsError, match="exists"):
        main([*map(str, arguments)])
