"""A Preprocessor's word pieces by the two ops of TensorFlow Text that LiteRT can run."""

from __future__ import annotations

import flatbuffers
import numpy as np
import tensorflow as tf
import tensorflow_text as text

from labse_tf.tokenization.character_map import character_map
from labse_tf.tokenization.double_array import double_array
from labse_tf.tokenization.preprocessing import Preprocessor

_CHANGED, _LENGTH_BITS = 1 << 30, 6
_NO_LIMIT = 2**31 - 1


class LiteTokenizer:
    """Gives the ids of a Preprocessor, for models of LiteRT with TensorFlow Text's ops.

    Those ops are FastBertNormalize, here with a map of its own (see
    `labse_tf.tokenization.character_map`), and FastWordpieceTokenizeWithOffsets.

    Args:
        preprocessor: A WordPiece preprocessor.

    Raises:
        ValueError: If the preprocessor limits a word in characters, which the ops cannot count, or
            its tokenization is SentencePiece.
    """

    def __init__(self, preprocessor: Preprocessor):
        if not preprocessor.has_words:
            raise ValueError(
                f"The tokenization {preprocessor.tokenization!r} cannot be put inside a LiteRT "
                "model. Give the model without its tokenizer, and token ids to it."
            )
        if (most := preprocessor.max_word_characters) is not None:
            raise ValueError(
                f"`max_word_characters` (={most}): the tokenizer of LiteRT counts bytes of a word, "
                "not characters. Give the model without its tokenizer, and token ids to it."
            )
        mapped = character_map(preprocessor.tokenization, preprocessor.lower_case)
        self._normalizer = text.FastBertNormalizer(model_buffer=_normalizer(mapped.strings))
        self._pieces = text.FastWordpieceTokenizer(
            _translated(preprocessor.tokens, mapped.stand_ins),
            token_out_type=tf.int32,
            max_bytes_per_word=preprocessor.max_word_bytes or _NO_LIMIT,
        )

    def word_pieces(self, sentences: tf.Tensor) -> tf.RaggedTensor:
        """string [batch], in UTF-8 -> word piece ids, int32 [batch, (pieces)]."""
        return self._pieces.tokenize(self._normalizer.normalize(sentences))


def _translated(tokens: list[str], stand_ins: dict[int, int]) -> list[str]:
    """The tokens as they are in a text after the map, and what is in none by another name."""
    unreachable, known = {chr(c) for c in stand_ins.values()} | {"\0"}, set(tokens)
    found = []
    for number, token in enumerate(tokens):
        if unreachable.isdisjoint(token):
            found.append(token.translate(stand_ins))
            continue
        name = f"[{number}]"  # as no word is, which are divided at brackets
        while name in known:
            name = f"[{name}]"
        found.append(name)
    return found


def _normalizer(strings: dict[int, str]) -> bytes:
    """A FastBertNormalizerModel, TensorFlow Text's flatbuffer.

    Of its four fields the second is a double array, the third what it cannot hold, the value of
    U+0000, and the last the strings, one behind the other. A value has bit 30, the start of a
    string in bits 6 to 29, and how many bytes it has in bits 0 to 5.
    """
    pool, values = bytearray(b" "), {}
    starts: dict[bytes, int] = {}
    for code_point, string in strings.items():
        string = string.encode()
        if len(string) >> _LENGTH_BITS:
            raise ValueError(f"U+{code_point:04X} becomes {len(string)} bytes, more than 63.")
        if string not in starts:
            starts[string] = len(pool)
            pool += string
        values[code_point] = _CHANGED | starts[string] << _LENGTH_BITS | len(string)
    of_zero = values.pop(0, 0)
    builder = flatbuffers.Builder(0)
    array = builder.CreateNumpyVector(double_array(values))
    pooled = builder.CreateNumpyVector(np.frombuffer(bytes(pool), np.uint8))
    builder.StartObject(4)
    builder.PrependUOffsetTRelativeSlot(1, array, 0)
    builder.PrependInt32Slot(2, of_zero, 0)
    builder.PrependUOffsetTRelativeSlot(3, pooled, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())
