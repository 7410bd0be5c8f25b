"""The scripts that LaBSE's 109 languages are written in (arXiv 2007.01852, appendix)."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Iterator

# Script, by the first word of its letters' Unicode names: languages, ISO 639-1/639-3. Those that
# are written in two scripts stand in both.
_LANGUAGES = {
    "LATIN": """af/afr az/aze bs/bos ca/cat ceb/ceb co/cos cs/ces cy/cym da/dan de/deu en/eng
        eo/epo es/spa et/est eu/eus fi/fin fr/fra fy/fry ga/gle gd/gla gl/glg ha/hau haw/haw
        hmn/hmn hr/hrv ht/hat hu/hun id/ind ig/ibo is/isl it/ita jv/jav ku/kur la/lat lb/ltz
        lt/lit lv/lav mg/mlg mi/mri ms/msa mt/mlt nl/nld no/nor ny/nya pl/pol pt/por ro/ron
        rw/kin sk/slk sl/slv sm/smo sn/sna so/som sq/sqi sr/srp st/sot su/sun sv/swe sw/swa
        tk/tuk tl/tgl tr/tur tt/tat uz/uzb vi/vie wo/wol xh/xho yo/yor zu/zul""",
    "CYRILLIC": "be/bel bg/bul kk/kaz ky/kir mk/mkd mn/mon ru/rus sr/srp tg/tgk tt/tat uk/ukr "
    "uz/uzb",
    "ARABIC": "ar/ara fa/fas ku/kur ug/uig ur/urd",
    "DEVANAGARI": "hi/hin mr/mar ne/nep",
    "BENGALI": "as/asm bn/ben",
    "HEBREW": "he/heb yi/yid",
    "CJK": "ja/jpn zh/zho",
    "HIRAGANA": "ja/jpn",
    "KATAKANA": "ja/jpn",
    "HANGUL": "ko/kor",
    "GREEK": "el/ell",
    "ARMENIAN": "hy/hye",
    "GEORGIAN": "ka/kat",
    "ETHIOPIC": "am/amh",
    "TIBETAN": "bo/bod",
    "GUJARATI": "gu/guj",
    "GURMUKHI": "pa/pan",
    "KHMER": "km/khm",
    "KANNADA": "kn/kan",
    "LAO": "lo/lao",
    "MALAYALAM": "ml/mal",
    "MYANMAR": "my/mya",
    "ORIYA": "or/ori",
    "SINHALA": "si/sin",
    "TAMIL": "ta/tam",
    "TELUGU": "te/tel",
    "THAI": "th/tha",
}
# Nynorsk is not among LaBSE's languages, but is written as Bokmål ("no") is.
_OTHER_LANGUAGES = {"LATIN": "nn/nno"}
# Other codes of the same languages, as in Tatoeba's, FLORES' and NTREX-128's files, and old codes.
_ALIASES = {
    "als": "sq",
    "arb": "ar",
    "azj": "az",
    "cmn": "zh",
    "ekk": "et",
    "fil": "tl",
    "in": "id",
    "iw": "he",
    "ji": "yi",
    "jw": "jv",
    "khk": "mn",
    "kmr": "ku",
    "lvs": "lv",
    "nb": "no",
    "nob": "no",
    "npi": "ne",
    "ory": "or",
    "pes": "fa",
    "plt": "mg",
    "swh": "sw",
    "uzn": "uz",
    "ydd": "yi",
    "zsm": "ms",
}


def canonical_code(language: str) -> str:
    """Return the one code that stands for all codes of a language.

    It is the ISO 639-1 code, or the 639-3 code if there is no shorter one: "cmn", "zh-TW" and
    "zh_Hant" are "zh", "iw" is "he". Regions, scripts and case are ignored. Codes of languages that
    LaBSE does not have stay as they are, without region and script.
    """
    code = re.split("[-_]", language, maxsplit=1)[0].lower()
    code = _ALIASES.get(code, code)
    return next((pair[0] for _, pair in _codes() if code in pair), code)


def match_code(language: str, codes: Iterable[str]) -> str | None:
    """Return the one of the codes that stands for a language, or None if there is not just one.

    "zh-TW" and "zh" match "cmn", for example, and "de" matches "deu_Latn".
    """
    codes = list(codes)
    if language in codes:
        return language
    matches = [code for code in codes if canonical_code(code) == canonical_code(language)]
    return matches[0] if len(matches) == 1 else None


def scripts_of(language: str) -> set[str]:
    """Return the scripts that a language is written in.

    Args:
        language: Code of a language, see `canonical_code`.

    Raises:
        ValueError: If it is not the code of one of LaBSE's languages.
    """
    code = canonical_code(language)
    scripts = {script for script, pair in _codes() if code == pair[0]}
    if not scripts:
        known = {code for _, pair in _codes() for code in pair} | set(_ALIASES)
        near = difflib.get_close_matches(language, sorted(known), cutoff=0.5)
        raise ValueError(
            f"{language!r} is not the code of one of LaBSE's languages (ISO 639-1 or 639-3)"
            f"{'; near it: ' + ', '.join(near) if near else ''}."
        )
    return scripts


def _codes() -> Iterator[tuple[str, list[str]]]:
    """Yield each script with the codes of each of its languages."""
    for table in (_LANGUAGES, _OTHER_LANGUAGES):
        for script, languages in table.items():
            for codes in languages.split():
                yield script, codes.split("/")


def scripts_in(text: str) -> set[str]:
    """The scripts of the letters in a text; marks, digits and punctuation are of none."""
    return {
        unicodedata.name(character, "UNNAMED").split()[0].split("-")[0]
        for character in text
        if unicodedata.category(character) in ("Lu", "Ll", "Lt", "Lo")
    }
