"""Sentences of lines: their language, side, splits and lengths; near-duplicates."""

import hashlib
import random
import unicodedata

import numpy as np
import pytest

from labse_tf.crawl.steps.near_duplicates import (
    NO_KEY,
    first_places,
    hashes_of,
    part_of,
    sorted_by_hash,
)
from labse_tf.crawl.steps.sentences import WITHOUT_SPLITTER, SentenceMaker

GERMAN = "Am 3. Mai kam Dr. Müller nach Köln. Das kostete ihn z. B. seinen ganzen Urlaub!"
ENGLISH = "He bought a very small house near the river. Nobody has seen him there since."
FRENCH = "Elle ne voulait pas partir sans avoir revu ses parents et sa maison."
CHINESE = "我们昨天晚上一起去看了电影。今天的天气非常好！"


def maker(source=("de",), target=("en",), **options):
    options = {
        "identify": True,
        "odds": 10.0,
        "split": True,
        "shortest": 5,
        "longest": 60,
    } | options
    return SentenceMaker({"source": source, "target": target}, **options)


def test_language_decides_the_side():
    make = maker(("de", "zh"), longest=100)
    assert make.of_line(GERMAN, None) == (
        "source",
        "de",
        [
            "Am 3. Mai kam Dr. Müller nach Köln.",
            "Das kostete ihn z. B. seinen ganzen Urlaub!",
        ],
    )
    side, language, sentences = make.of_line(f"  {ENGLISH}\t", None)
    assert (side, language, len(sentences)) == ("target", "en", 2)
    assert make.of_line(CHINESE, None) == ("source", "zh", CHINESE.replace("。", "。|").split("|"))
    assert make.of_line(FRENCH, None)[2] == []
    # In a file of sources the same language counts, and English does not.
    assert make.of_line(GERMAN, "source")[:2] == ("source", "de")
    assert make.of_line(ENGLISH, "source")[2] == []
    assert make.dropped == {"line in another language": 2}


def test_lengths_and_no_split():
    make = maker(split=False, identify=False)
    assert make.of_line(ENGLISH, "target") == ("target", "en", [])
    assert make.of_line("Four", "target")[2] == [] and make.of_line(" \t", "target")[2] == []
    assert make.of_line("Five.", "source") == ("source", "de", ["Five."])
    assert make.dropped == {"long sentence": 1, "short line": 1, "empty line": 1}
    composed = make.of_line(unicodedata.normalize("NFD", "Grüße  aus\u3000Köln"), "source")
    assert composed[2] == ["Grüße aus Köln"]


@pytest.mark.parametrize("language", WITHOUT_SPLITTER)
def test_languages_without_a_splitter(language):
    with pytest.raises(ValueError, match=rf"\({language}\) has no splitter.*--no-split"):
        maker((language,), identify=False)
    maker((language,), identify=False, split=False)


def test_sentencex_splits_none_of_them():
    """If a later version does, the list is to be made shorter."""
    from sentencex import segment

    texts = {
        "bo": "ང་བོད་པ་ཡིན། ཁྱེད་རང་ག་པར་འགྲོ་གི་ཡིན།",
        "dz": "ང་བོད་པ་ཡིན། ཁྱེད་རང་ག་པར་འགྲོ་གི་ཡིན།",
        "km": "សួស្តី។ ខ្ញុំឈ្មោះថម។",
        "lo": "ສະບາຍດີ ຂ້ອຍຊື່ທອມ ມື້ນີ້ອາກາດດີ",
        "th": "สวัสดีครับ ผมชื่อทอม วันนี้อากาศดีมาก",
    }
    assert texts.keys() == WITHOUT_SPLITTER.keys()
    for language, text in texts.items():
        assert len(list(segment(language, text))) == 1
    assert len(list(segment("hi", "नमस्ते। मेरा नाम टॉम है।"))) == 2


def test_languages_that_are_not_told_apart():
    with pytest.raises(ValueError, match="'hr' and 'sr' are not told apart"):
        maker(("sr",), ("hr",))
    with pytest.raises(ValueError, match="does not know the language 'mi'"):
        maker(("mi",))
    with pytest.raises(ValueError, match="sources are of one language"):
        maker(("de", "fr"), identify=False)


def test_hashes_are_of_letters_and_numbers():
    hashes = hashes_of(
        ["Hello, World!", "hello world", "Ｈｅｌｌｏ ＷＯＲＬＤ", "Hello world 2", "...", ""]
    )
    expected = int.from_bytes(hashlib.blake2b(b"helloworld", digest_size=8).digest(), "little")
    assert hashes[:3].tolist() == [expected] * 3 and hashes[3] != expected
    assert hashes[4:].tolist() == [NO_KEY] * 2
    assert len(hashes_of([])) == 0


@pytest.mark.parametrize("parts", [1, 3, 7])
def test_the_first_of_near_duplicates_stays(parts):
    rng = random.Random(parts)
    files = [
        [f"Word {rng.randrange(60)}{'!' * rng.randrange(2)}" for _ in range(n)] for n in (70, 0, 90)
    ]
    seen, expected = set(), []
    for file, sentences in enumerate(files):
        for row, sentence in enumerate(sentences):
            key = sentence.rstrip("!").lower()
            if key not in seen:
                expected.append((file, row))
            seen.add(key)
    hashed = [sorted_by_hash(hashes_of(sentences)) for sentences in files]
    places = [first_places([part_of(h, part, parts) for h in hashed]) for part in range(parts)]
    assert all(p.tolist() == sorted(p.tolist()) for p in places)
    assert sorted(np.concatenate(places).tolist()) == expected
