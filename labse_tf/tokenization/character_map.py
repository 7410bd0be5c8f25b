"""What becomes of each character before words are split into pieces, found by trying each of them.

LiteRT has no regular expressions, but TensorFlow Text's FastBertNormalizer, a map from characters
to strings, and FastWordpieceTokenizer, which divides words at white space, punctuation and Chinese
characters. It takes other characters for these than either of our tokenizations: 31 others than
Google's. So the map has a space where our words end and the tokenizer's would not; and where its
words end and ours do not, it has another character, a stand-in that no text holds after the map.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Container, Iterable, Iterator, Sequence

import tensorflow as tf
import tensorflow_text as text

from labse_tf.tokenization.words import split_words

# But for surrogates, which UTF-8 has not, and for planes 4 to 13, which are empty.
_PLANES = (range(0xD800), range(0xE000, 0x40000), range(0xE0000, 0x110000))
_TRIED_TOGETHER = 1 << 16
_BEFORE, _AFTER = "a", "b"  # letters that are themselves in every tokenization


@dataclasses.dataclass(frozen=True)
class CharacterMap:
    """How text becomes what FastWordpieceTokenizer divides into the words of a tokenization.

    Attributes:
        strings: code point -> what it becomes; those that stay are left out.
        stand_ins: for `str.translate`: code point -> that of its stand-in, which has as many bytes.
    """

    strings: dict[int, str]
    stand_ins: dict[int, int]


@functools.cache
def character_map(tokenization: str, lower_case: bool) -> CharacterMap:
    """The map of a tokenization; takes a second or two the first time.

    Args:
        tokenization, lower_case: see `labse_tf.tokenization.words.split_words`.

    Raises:
        ValueError: there are more characters in need of a stand-in than characters that can be one.
    """
    changed = dict(_changed(lambda texts: _words_joined(texts, tokenization, lower_case)))
    divided = dict(_changed(_divided))
    blanks = {c for c, between in divided.items() if between.isspace()}
    strings: dict[int, str] = {}
    needed: set[str] = set()
    for code_point in sorted({*changed, *divided}):
        string = changed.get(code_point, chr(code_point))
        words = f"{_BEFORE}{string}{_AFTER}".split(" ")
        needed |= {c for w in words for c in w if ord(c) in (divided if len(w) > 1 else blanks)}
        if string == f" {chr(code_point)} " and code_point in divided and code_point not in blanks:
            continue  # the tokenizer divides there by itself
        if string != chr(code_point):
            strings[code_point] = string
    stand_ins = _stand_ins(sorted(needed), strings, divided)
    for code_point in {*strings, *stand_ins}:
        strings[code_point] = strings.get(code_point, chr(code_point)).translate(stand_ins)
    return CharacterMap(strings, stand_ins)


def _stand_ins(
    needed: Sequence[str], strings: dict[int, str], divided: Container[int]
) -> dict[int, int]:
    """A character for each one in need, of as many bytes, that is in no text after the map."""
    left = {c for string in strings.values() for c in string}
    free: dict[int, list[int]] = {1: [], 2: [], 3: [], 4: []}
    for code_point in sorted(strings):
        if chr(code_point) not in left and code_point not in divided:
            free[len(chr(code_point).encode())].append(code_point)
    found = {}
    for character in needed:
        size = len(character.encode())
        if not free[size]:
            raise ValueError(f"No character of {size} bytes is free to stand in for others.")
        found[ord(character)] = free[size].pop()
    return found


def _changed(apply: Callable[[list[str]], Iterable[str]]) -> Iterator[tuple[int, str]]:
    """(code point, what `apply` makes of it between two letters), if that is not itself.

    Args:
        apply: strings -> as many strings.
    """
    for part in _PLANES:
        for start in range(part.start, part.stop, _TRIED_TOGETHER):
            code_points = range(start, min(part.stop, start + _TRIED_TOGETHER))
            texts = list(map(_between_letters, code_points))
            for code_point, given, got in zip(code_points, texts, apply(texts), strict=True):
                if given != got:
                    yield code_point, got.removeprefix(_BEFORE).removesuffix(_AFTER)


def _between_letters(code_point: int) -> str:
    return f"{_BEFORE}{chr(code_point)}{_AFTER}"


def _words_joined(texts: list[str], tokenization: str, lower_case: bool) -> list[str]:
    words = split_words(tf.constant(texts), tokenization, lower_case)
    joined = tf.strings.reduce_join(words, axis=1, separator=" ")
    return [string.decode() for string in joined.numpy()]


def _divided(texts: list[str]) -> list[str]:
    """The texts with spaces where FastWordpieceTokenizer divides words.

    It knows the two letters alone, so that a word is one [UNK], of which it says where it is.
    """
    tokenizer = text.FastWordpieceTokenizer(
        ["[UNK]", _BEFORE, _AFTER], token_out_type=tf.int32, max_bytes_per_word=2**31 - 1
    )
    _, starts, ends = tokenizer.tokenize_with_offsets(tf.constant(texts))
    starts, ends, splits = starts.values.numpy(), ends.values.numpy(), starts.row_splits.numpy()
    found = []
    for number, given in enumerate(texts):
        row, given = slice(splits[number], splits[number + 1]), given.encode()
        words = [given[start:end] for start, end in zip(starts[row], ends[row])]
        found.append(b" ".join(words).decode())
    return found
