"""The scripts that LaBSE's 109 languages are written in (arXiv 2007.01852, appendix)."""

from __future__ import annotations

import difflib
import unicodedata

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
# Other codes of the same languages, as in Tatoeba's, FLORES' and NTREX-128's files.
_ALIASES = {
    "als": "sq",
    "arb": "ar",
    "azj": "az",
    "cmn": "zh",
    "ekk": "et",
    "fil": "tl",
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
    """One code for all of a language's: ISO 639-1, or 639-3 if it has none; "cmn" is "zh".

    Codes of other than LaBSE's languages stay as they are.
    """
    code = _ALIASES.get(language, language)
    for languages in _LANGUAGES.values():
        for pair in languages.split():
            if code in pair.split("/"):
                return pair.split("/")[0]
    return code


def scripts_of(language: str) -> set[str]:
    """The scripts that a language is written in.

    Args:
        language: ISO 639-1 or 639-3 code, as "fr" or "fra".

    Raises:
        ValueError: it is none of LaBSE's languages.
    """
    code = _ALIASES.get(language, language)
    scripts = {
        script
        for script, languages in _LANGUAGES.items()
        if any(code in pair.split("/") for pair in languages.split())
    }
    if not scripts:
        known = {
            c for text in _LANGUAGES.values() for pair in text.split() for c in pair.split("/")
        }
        near = difflib.get_close_matches(language, sorted(known | set(_ALIASES)), cutoff=0.5)
        raise ValueError(
            f"{language!r} is the code of none of LaBSE's languages (ISO 639-1 or 639-3)"
            f"{'; near it: ' + ', '.join(near) if near else ''}."
        )
    return scripts


def scripts_in(text: str) -> set[str]:
    """The scripts of the letters in a text; marks, digits and punctuation are of none."""
    return {
        unicodedata.name(character, "UNNAMED").split()[0].split("-")[0]
        for character in text
        if unicodedata.category(character) in ("Lu", "Ll", "Lt", "Lo")
    }
