"""Pairs dropped by identified language: real sentences under their own and under other names."""

import gzip
import json
import sys
from pathlib import Path

import pytest

from labse_tf.preparation.identification import known_labels, odds_against, of_languages
from labse_tf.preparation.options import PreparationOptions
from labse_tf.preparation.prepare_pairs import prepare_pairs
from labse_tf.preparation.report import preparation_table
from labse_tf.tokenization.scripts import _LANGUAGES

SAMPLE = Path(__file__).parents[2] / "training" / "sample"
CODES = sorted(path.name[:3] for path in SAMPLE.glob("*.heldout.tsv.gz"))
ODDS = PreparationOptions().language_odds
# Of LaBSE's languages; the script alone decides.
NOT_COVERED = {"bo", "ceb", "co", "haw", "hmn", "mi", "ny", "sm", "su", "wo", "yi"}


def read(code, count=250):
    with gzip.open(SAMPLE / f"{code}-eng.heldout.tsv.gz", "rt", encoding="utf-8") as file:
        return [tuple(line.rstrip("\n").split("\t")) for line in file][:count]


def kept(pairs, source, target="eng", odds=ODDS):
    """The share of pairs that stay under these languages' names."""
    labels = known_labels(source), known_labels(target)
    return sum(of_languages(labels, odds)(pairs)) / len(pairs)


@pytest.mark.parametrize("code", CODES)
def test_pairs_of_their_own_languages_stay(code):
    assert kept(read(code), code) > 0.99


@pytest.mark.parametrize(
    ("really", "named", "found"),
    [
        ("spa", "fra", 0.95),
        ("fra", "spa", 0.95),
        ("deu", "tur", 0.95),
        ("tur", "deu", 0.95),
        ("hin", "mar", 0.85),
        ("ara", "fas", 0.95),
        ("rus", "ukr", 0.65),  # close relatives
        ("ukr", "rus", 0.65),
    ],
)
def test_pairs_of_another_language_are_found(really, named, found):
    assert 1 - kept(read(really), named) > found


def test_the_targets_are_looked_at_too():
    swapped = [(target, source) for source, target in read("fra")]
    assert kept(swapped, "eng", "fra") > 0.99
    assert kept(swapped, "eng", "spa") < 0.05
    assert kept(swapped, "fra", "eng") < 0.01
    english = [(target, target) for _, target in read("fra")]  # copied, not translated
    assert kept(english, "deu") < 0.02


def test_odds_by_the_probabilities_of_all_languages():
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    for text, _ in read("spa", 40) + read("ukr", 40) + [("12:30 <b>7</b>", ""), ("", "")]:
        of = dict(identifier.rank(text))
        for own in ({"es"}, {"pt", "gl"}):
            others = max(p for label, p in of.items() if label not in own | {"zxx"})
            expected = others / sum(of[label] for label in own)
            got = odds_against(text, frozenset(own))
            # 0 where one of its own languages is the likeliest: whatever the odds, it stays.
            assert got == pytest.approx(expected, rel=1e-5) or (got == 0 and expected <= 1)


def test_what_is_no_language_and_what_has_no_letters_stays():
    # Of the last three the identifier says that they are most likely in no language.
    for text in (
        "",
        "12:30",
        "…?!",
        "0xDEADBEEF 1234-5678",
        '{"id": 12, "ok": true}',
        "x86_64 v2.3",
    ):
        assert odds_against(text, known_labels("deu")) <= ODDS, text


def test_codes_and_their_labels():
    for code, labels in (
        ("de", {"de"}), ("deu", {"de"}), ("cmn", {"zh", "wuu", "yue"}),
        ("yue", {"zh", "wuu", "yue"}),
        ("srp", {"bs", "hr", "sr"}), ("nob", {"no", "nn"}), ("nno", {"no", "nn"}), ("oci", {"oc"}),
        ("zsm", {"id", "ms"}), ("hbs", {"bs", "hr", "sr"}), ("eng", {"en", "pcm"}),
        ("nn", {"no", "nn"}), ("iw", {"he", "hbo"}), ("zh-TW", {"zh", "wuu", "yue"}),
        ("pt-BR", {"pt"}),
    ):  # fmt: skip
        assert known_labels(code) == labels
    for unknown in ("", "xxx", "nya"):
        assert known_labels(unknown) is None
    codes = {pair.split("/")[0] for pairs in _LANGUAGES.values() for pair in pairs.split()}
    assert {code for code in codes if not known_labels(code)} <= NOT_COVERED


def write(path, pairs):
    path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs), encoding="utf-8")
    return path


def test_prepared_pairs(tmp_path):
    french, spanish = read("fra", 100), read("spa", 30)
    files = [
        write(tmp_path / "fra-eng.tsv", [*french, *spanish, ("Нет.", "No.")]),
        write(tmp_path / "nya-eng.tsv", [*spanish, ("Нет.", "No.")]),
    ]
    options = PreparationOptions(format="tsv", deduplicate=False, language_filter="identified")
    counts = prepare_pairs(files, tmp_path / "out", options)
    fra, nya = counts["files"]
    assert fra["dropped"]["language"] == nya["dropped"]["language"] == 1  # Cyrillic, by script
    assert 29 <= fra["dropped"]["identification"] <= 31
    assert fra["identified"] == [["fr"], ["en", "pcm"]]
    # What is not covered is left to the script.
    assert nya["dropped"]["identification"] == 0 and nya["identified"] == [None, ["en", "pcm"]]
    assert json.loads((tmp_path / "out" / "counts.json").read_text()) == counts
    assert preparation_table(counts)[-1] == (
        "sources not identified, whose languages py3langid does not know: nya"
    )
    (by_script,) = prepare_pairs(files[:1], tmp_path / "by script")["files"]
    assert by_script["dropped"]["language"] == 1 and "identified" not in by_script
    assert "identification" not in by_script["dropped"]


def test_the_extra_is_named(tmp_path, monkeypatch):
    from labse_tf.preparation import identification

    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    identification._identifier.cache_clear()
    path = write(tmp_path / "fra-eng.tsv", read("fra", 3))
    with pytest.raises(ImportError, match=r"pip install '.\[preparation\]'"):
        prepare_pairs([path], tmp_path / "out", PreparationOptions(language_filter="identified"))
    assert [path.name for path in tmp_path.iterdir()] == ["fra-eng.tsv"]
    prepare_pairs([path], tmp_path / "out")  # by script needs none
