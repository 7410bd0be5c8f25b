"""of_languages: a filter of pairs that tells languages apart, and not only scripts.

The identifier is py3langid (extra `preparation`): pure Python, its model in the wheel. Measured on
short sentences (Tatoeba, 300 of each language) / news (NTREX-128, 150), each library on those of
LaBSE's 109 languages that it covers. Dropped is what is at least 10 times as likely in another
language, of CLD2 what it calls reliable. False drops are of the right language (mean of languages);
planted are sentences under the name of another language of the same script, drawn at random.

                        covered   identified, %  false drops, %  planted found, %  sentences/s
    py3langid 0.4.0          98     95.8 / 99.7     0.21 / 0.01       96.6 / 99.6       18,000
    pycld2 0.42             109     90.5 / 97.7     4.00 / 0.49       87.0 / 95.3       80,000
    lingua 2.1               71     95.0 / 99.0     0.24 / 0.34       88.6 / 97.9          600
    fastText lid.176.ftz     96     82.5 / 93.6     7.53 / 2.00       95.7 / 96.9       15,000
    cld3-py 3.1             101     86.7 / 97.2    13.32 / 2.77       99.2 / 99.9       25,000

Not covered: Cebuano, Chichewa, Corsican, Hawaiian, Hmong, Maori, Samoan, Sundanese, Tibetan, Wolof,
Yiddish; of these the script alone decides. Close relatives are found less often: Danish as
Norwegian 23% / 71%, Galician as Portuguese 57% / 82%, Czech as Slovak 70% / 92%.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import numpy as np

from labse_tf.extras import install_hint
from labse_tf.preparation.filters import Filter, Pair
from labse_tf.tokenization.scripts import canonical_code

# What the identifier calls languages that LaBSE does not have, where it uses the shorter code.
_CODES = {
    "arg": "an",
    "bak": "ba",
    "bre": "br",
    "dzo": "dz",
    "fao": "fo",
    "lin": "ln",
    "lug": "lg",
    "oci": "oc",
    "orm": "om",
    "pus": "ps",
    "que": "qu",
    "san": "sa",
    "sme": "se",
    "vol": "vo",
    "wln": "wa",
}
# Not told apart, since texts of one pass for the other: the members of a macrolanguage of ISO 639-3
# and of Serbo-Croatian, the old forms of a language, English and Nigerian Pidgin.
_AS_ONE = tuple(
    frozenset(codes.split())
    for codes in (
        "ar ary arz",
        "bs hr sr hbs",
        "el grc",
        "en pcm",
        "he hbo",
        "id ms",
        "ku sdh",
        "lv ltg",
        "no nn",
        "uz uzs",
        "zh wuu yue",
    )
)
_NO_LANGUAGE = "zxx"  # numbers, markup, identifiers


def known_labels(language: str) -> frozenset[str] | None:
    """The identifier's names of a language, and of those that pass for it; None if it has none.

    Args:
        language: Code of a language, see `canonical_code`.

    Raises:
        ImportError: py3langid is not installed.
    """
    code = canonical_code(language)
    code = _CODES.get(code, code)
    labels = next((codes for codes in _AS_ONE if code in codes), frozenset([code]))
    return labels.intersection(_identifier().labels) or None


def of_languages(labels: Sequence[frozenset[str] | None], odds: float) -> Filter:
    """No side is `odds` times as likely to be in another language as in its own.

    Args:
        labels: of the source and of the target, see `known_labels`; None: that side is not looked
            at.
        odds: at least 1.

    Raises:
        ImportError: py3langid is not installed.
    """

    def keep(pairs: list[Pair]) -> Iterable[bool]:
        kept = np.ones(len(pairs), bool)
        for side, own in enumerate(labels):
            if own is not None:
                for row in np.flatnonzero(kept):
                    kept[row] = odds_against(pairs[row][side], own) <= odds
        return kept

    return keep


def likeliest_label(text: str) -> str:
    """The identifier's name of the language that a text is most likely in.

    Raises:
        ImportError: py3langid is not installed.
    """
    return _identifier().classify(text)[0]


def odds_against(text: str, labels: frozenset[str]) -> float:
    """How many times as likely the likeliest other language is; 0 if none is likelier."""
    identifier = _identifier()
    if identifier.classify(text)[0] in labels:  # three times as fast as all probabilities
        return 0.0
    others, own = 0.0, 0.0
    for label, probability in identifier.rank(text):
        if label in labels:
            own += probability
        elif label != _NO_LANGUAGE:
            others = max(others, probability)
    return others / own if own else np.inf


@functools.cache
def _identifier():
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as error:
        raise ImportError(
            f"To identify languages needs py3langid: {install_hint('preparation')}."
        ) from error
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
