"""WordPiece as an OpenVINO graph: the ids of a Preprocessor, without TensorFlow."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from labse_tf.tokenization.character_classes import (
    CHINESE,
    GOOGLE_SPACES,
    GOOGLE_WORDS,
    PUNCTUATION,
    REMOVED,
    SPACES,
)
from labse_tf.tokenization.choices import GOOGLE, SENTENCEPIECE
from labse_tf.tokenization.vocabulary_files import END, PADDING, START, UNKNOWN

_NO_LIMIT = 2**31 - 1  # bytes of a word


def can_tokenize(options: Mapping[str, Any]) -> bool:
    """Return whether sentences can be tokenized without TensorFlow as by a Preprocessor.

    OpenVINO's WordPiece does not strip accents and fold case, nor count the characters of a word.
    SentencePiece has a library of its own.

    Args:
        options: `Preprocessor.options`.
    """
    return options["tokenization"] == SENTENCEPIECE or (
        not options["lower_case"] and options["max_word_characters"] is None
    )


def is_installed() -> bool:
    """Return whether the package of the tokenizer's operations is installed."""
    return importlib.util.find_spec("openvino_tokenizers") is not None


class OpenVINOWordPieces:
    """A Preprocessor's word pieces without TensorFlow: `labse_tf.inference.tokens.WordPieces`.

    Args:
        ids: the vocabulary, token -> id, in the order of the ids.
        options: of the Preprocessor, see `can_tokenize`.
    """

    def __init__(self, ids: Mapping[str, int], options: Mapping[str, Any]):
        import openvino

        self.seq_length = options["seq_length"]
        self.start_id, self.end_id = ids[START], ids[END]
        self.padding_id, self.unknown_id = ids[PADDING], ids[UNKNOWN]
        model = _graph(list(ids), options["tokenization"], options["max_word_bytes"])
        # One thread: a window is tokenised while another one is embedded.
        options = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
        self._compiled = openvino.Core().compile_model(model, "CPU", options)
        self._own = threading.local()  # an inference request serves one thread

    def __call__(self, sentences: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        if not len(sentences):
            return np.zeros(0, np.int32), np.zeros(0, np.int64)
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        texts = [sentence.decode() for sentence in sentences]
        begins, ends, ids = (np.array(x) for x in self._own.request.infer({0: texts}).values())
        if (begins[1:] != ends[:-1]).any():
            raise AssertionError("The tokenizer's rows are not one behind the other.")
        return ids, ends.astype(np.int64)


def _graph(tokens: Sequence[str], tokenization: str, max_word_bytes: int | None):
    """string [batch] -> where a sentence's pieces begin and end, and the ids, int32.

    Args:
        tokens: the vocabulary, by id.
        tokenization: "google" or "hugging-face".
        max_word_bytes: a longer word is [UNK]; None: none is.
    """
    import openvino
    from openvino import opset15
    from openvino_tokenizers import tokenizer_pipeline as steps

    google = tokenization == GOOGLE
    inputs = openvino.op.Parameter(openvino.Type.string, openvino.PartialShape([-1]))
    text = opset15.string_tensor_unpack(inputs).outputs()
    if google:
        spaces, words_of_one = GOOGLE_SPACES, [GOOGLE_WORDS]
    else:
        spaces, words_of_one = SPACES, [PUNCTUATION, CHINESE]
        text = steps.RegexNormalizationStep(f"{REMOVED}+", "").get_ov_subgraph(text)
    text = steps.TokenizerPipeline.add_ragged_dimension(text)
    # One expression of what a word is. Two, of white space and then of what divides words, would
    # be found differently from time to time (openvino-tokenizers 2026.4: at the end of a sentence).
    others = "".join(characters[1:-1] for characters in (spaces, *words_of_one))
    words = "|".join([*words_of_one, f"[^{others}]+"])
    text = steps.RegexSplitStep(words, invert=True).get_ov_subgraph(text)
    pieces = steps.WordPieceTokenizationStep(
        vocab=tokens, unk_token=UNKNOWN, max_bytes_per_word=max_word_bytes or _NO_LIMIT
    )
    return openvino.Model(pieces.get_ov_subgraph(text[:5]), [inputs], "tokenizer")
