"""training/sample holds what its README says, and nothing held out is trained on."""

import functools
import gzip
import re
import unicodedata
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parents[2] / "training" / "sample"
CODES = sorted(path.name.split("-")[0] for path in SAMPLE.glob("*.train.tsv.gz"))


def read(code, part):
    with gzip.open(SAMPLE / f"{code}-eng.{part}.tsv.gz", "rt", encoding="utf-8") as file:
        return [tuple(line.rstrip("\n").split("\t")) for line in file]


@pytest.fixture(scope="module")
def files():
    return {(code, part): read(code, part) for code in CODES for part in ("train", "heldout")}


@functools.cache
def words(sentence):
    """A sentence without case, punctuation and spaces; its own rule, not draw.py's."""
    folded = unicodedata.normalize("NFKC", sentence).casefold()
    return "".join(c for c in folded if unicodedata.category(c)[0] not in "PSZC")


def test_no_sentence_is_in_both(files):
    trained = {
        words(s) for (_, part), rows in files.items() if part == "train" for p in rows for s in p
    }
    held_out = {
        words(s) for (_, part), rows in files.items() if part == "heldout" for p in rows for s in p
    }
    assert len(held_out) > 9000
    assert not trained & held_out


def test_languages_scripts_and_size(files):
    assert len(CODES) >= 8
    scripts = {
        unicodedata.name(character).split()[0]
        for rows in files.values()
        for source, _ in rows[:50]
        for character in source
        if character.isalpha()
    }
    assert {"LATIN", "CYRILLIC", "ARABIC", "HEBREW", "GREEK", "DEVANAGARI", "HANGUL"} <= scripts
    assert sum(path.stat().st_size for path in SAMPLE.glob("*.gz")) < 5_000_000


def test_every_row_is_a_pair_that_occurs_once(files):
    for (code, part), rows in files.items():
        assert all(len(pair) == 2 and pair[0].strip() and pair[1].strip() for pair in rows)
        assert len({words(source) for source, _ in rows}) == len(rows), (code, part)
        assert len(rows) == 500 if part == "heldout" else len(rows) > 2000


def test_counts_of_the_readme(files):
    table = re.findall(
        r"^\| (\w{3}) \|.*?\| *([\d,]+) \| *([\d,]+) \|$", (SAMPLE / "README.md").read_text(), re.M
    )
    stated = {code: (train.replace(",", ""), held.replace(",", "")) for code, train, held in table}
    assert stated == {
        code: (str(len(files[code, "train"])), str(len(files[code, "heldout"]))) for code in CODES
    }
