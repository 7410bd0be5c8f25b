"""The recipe's data: what is trained on, what is held out, what is left out."""

import os

import pytest

from labse_tf.data.duplicates import leakage_keys
from labse_tf.data.pair_files import read_columns
from tests.corpora import write
from training.labse_mini.data import prepare
from training.labse_mini.settings import DataSettings
from training.labse_mini.sources import COPYLEFT, SHIPPED, is_shipped


@pytest.fixture(scope="module")
def prepared(corpora, tmp_path_factory):
    output = tmp_path_factory.mktemp("prepared") / "data"
    prepare(str(corpora), str(output), DataSettings(dictionary_entries=5, development_share=0.2))
    return output


def pairs(prepared, kind):
    return {
        name.split("-")[0]: list(read_columns(prepared / kind / name))
        for name in sorted(os.listdir(prepared / kind))
        if name != "counts.json"
    }


def keys(rows):
    return set(leakage_keys(sentence for row in rows for sentence in row)) - {""}


def test_test_sentences_are_on_neither_side(prepared):
    trained = set()
    for kind in ("sentences", "dictionaries", "others"):
        for rows in pairs(prepared, kind).values():
            trained |= keys(rows)
    known = {f"{word}{i}" for word in ("eins", "un", "one") for i in (20, 21, 22, 23, 24, 25)}
    assert known & trained
    tested = "eins7 one8 un9 geprueftde eins11 one12 one13 one14 help5 help6 one15 unhelp7 unhelp8"
    assert not set(tested.split()) & trained
    # With a test sentence its translation goes, since the pair does.
    assert "unhelp7" not in trained and "help7" in trained  # that of German stays


def test_development_is_of_the_same_english_for_all(prepared):
    groups = {group: pairs(prepared / "development", group) for group in ("everyday", "other")}
    for files in groups.values():
        german, french = (keys(row[1:] for row in files[code]) for code in ("deu", "fra"))
        assert german and german == french
    count = len(groups["everyday"]["deu"]) + len(groups["other"]["deu"])
    assert 50 < count < 150  # 20% of 500
    held_out = set().union(*(keys(r) for files in groups.values() for r in files.values()))
    for kind in ("sentences", "dictionaries", "others"):
        for rows in pairs(prepared, kind).values():
            assert not held_out & keys(rows)
    assert pairs(prepared, "others")


def test_copyleft_is_left_out(prepared, corpora, tmp_path):
    for kind in ("sentences", "others"):
        assert not any("geschuetzt" in keys(rows) for rows in pairs(prepared, kind).values())
    assert keys(pairs(prepared, "dictionaries")["deu"]) == {
        x for i in range(5) for x in (f"wort{i}", f"word{i}")
    }
    assert pairs(prepared, "dictionaries")["fra"] == [("oui", "yes")]  # WOLF: CeCILL-C
    settings = DataSettings(dictionary_entries=50, development_share=0.2, copyleft=True)
    prepare(str(corpora), str(tmp_path / "all"), settings)
    assert "geschuetzt" in keys(pairs(tmp_path / "all", "sentences")["deu"])
    assert "frei" in keys(pairs(tmp_path / "all", "dictionaries")["deu"])


def test_every_source_has_a_licence():
    assert not COPYLEFT & {source.name for source in SHIPPED}
    assert all(source.licence and source.url.startswith("https://") for source in SHIPPED)
    assert is_shipped("dict:omw", "deu") and not is_shipped("dict:omw", "fra")
    with pytest.raises(ValueError, match=r"licence of source 'crawl' is not known"):
        is_shipped("crawl", "deu")


def test_what_is_refused(corpora, tmp_path):
    with pytest.raises(FileNotFoundError, match="has no train/"):
        prepare(str(tmp_path), str(tmp_path / "out"), DataSettings())
    write(tmp_path / "train" / "deu-eng.tsv.gz", ["eins\tone"])
    with pytest.raises(FileNotFoundError, match=r"eval' has no tatoeba"):
        prepare(str(tmp_path), str(tmp_path / "out"), DataSettings())
    (tmp_path / "eval").symlink_to(corpora / "eval")
    with pytest.raises(ValueError, match=r"deu-eng.tsv.gz:1: 2 columns, but expected 3"):
        prepare(str(tmp_path), str(tmp_path / "out"), DataSettings())
    assert not (tmp_path / "out").exists()
