"""Tokenizer files of Hugging Face's BERT models: vocab.txt, tokenizer.json, tokenizer_config.json.

They say how text becomes word pieces, partly twice. What they say is either what our Preprocessor
does, or it is refused: other token ids would give other embeddings without a sign of it.
"""

from __future__ import annotations

import json
import os
import warnings

from labse_tf.pretrained.safetensors_files import read_json
from labse_tf.pretrained.sentencepiece_files import read_model, write_model_json
from labse_tf.pretrained.tokenizer_json import (
    MAX_WORD_CHARACTERS,
    checked_tokens,
    max_word_characters,
    require,
    require_right,
    tokenizer_json,
)
from labse_tf.tokenization.choices import HUGGING_FACE, SENTENCEPIECE
from labse_tf.tokenization.preprocessing import Preprocessor
from labse_tf.tokenization.vocabulary_files import (
    END,
    MASK,
    PADDING,
    START,
    UNKNOWN,
    read_vocabulary,
)

VOCABULARY, TOKENIZER, CONFIG = "vocab.txt", "tokenizer.json", "tokenizer_config.json"
SPECIAL_TOKENS = "special_tokens_map.json"
# transformers' classes that take all from tokenizer.json: before version 5, and from it on.
_OF_TOKENIZER_JSON = ("PreTrainedTokenizerFast", "TokenizersBackend")
_SPECIAL = {
    "unk_token": UNKNOWN,
    "sep_token": END,
    "pad_token": PADDING,
    "cls_token": START,
    "mask_token": MASK,
}


def read_tokenizer(directory: str, seq_length: int) -> Preprocessor:
    """The Preprocessor that gives the token ids of the directory's tokenizer.

    The vocabulary is vocab.txt or, if absent, that of tokenizer.json.

    Whether to lower-case must be said: by tokenizer_config.json (which transformers follows), or,
    where that is silent, by tokenizer.json; if both say it they must agree.

    One thing is done otherwise than there: the name of a special token within a sentence is text
    like any other, so that no text can end a sentence or mask a word.

    Raises:
        FileNotFoundError: there is no vocabulary.
        ValueError: the vocabulary cannot be used, or the tokenizer does what ours cannot.
    """
    vocab_file, tokenizer_file, config_file = (
        os.path.join(directory, name) for name in (VOCABULARY, TOKENIZER, CONFIG)
    )
    tokenizer = read_json(tokenizer_file) if os.path.isfile(tokenizer_file) else None
    if (model := read_model(directory, tokenizer)) is not None:
        return Preprocessor(model, seq_length, tokenization=SENTENCEPIECE)
    config = read_json(config_file) if os.path.isfile(config_file) else {}
    for key, wanted in [("tokenize_chinese_chars", True), ("do_basic_tokenize", True)]:
        require(config_file, key, config.get(key, wanted), wanted)
    special_file = os.path.join(directory, SPECIAL_TOKENS)
    special = read_json(special_file) if os.path.isfile(special_file) else {}
    for file_name, content in ((config_file, config), (special_file, special)):
        for key, wanted in _SPECIAL.items():
            token = content.get(key)
            token = token.get("content") if isinstance(token, dict) else token
            require(file_name, key, wanted if token is None else token, wanted)
    for key in ("truncation_side", "padding_side"):
        require_right(config_file, key, config.get(key))
    tokens = None if tokenizer is None else checked_tokens(tokenizer_file, tokenizer)
    lower_case = _lower_case(directory, config, tokenizer)
    if os.path.isfile(vocab_file):
        in_file = list(read_vocabulary(vocab_file))
        if tokens not in (None, in_file):
            raise ValueError(
                f"{vocab_file!r} ({len(in_file)} tokens) and the vocabulary of {tokenizer_file!r} "
                f"({len(tokens)}) differ. Remove the wrong one."
            )
        tokens = in_file
    elif tokens is None:
        raise FileNotFoundError(
            f"{directory!r} has no vocabulary: neither vocab.txt nor {TOKENIZER}."
        )
    for number, added in (config.get("added_tokens_decoder") or {}).items():
        token = tokens[int(number)] if int(number) < len(tokens) else None
        require(config_file, f"added_tokens_decoder.{number}", added.get("content"), token)
    most = MAX_WORD_CHARACTERS if tokenizer is None else max_word_characters(tokenizer)
    return Preprocessor(
        tokens, seq_length, lower_case, tokenization=HUGGING_FACE, max_word_characters=most
    )


def model_max_length(directory: str) -> int | None:
    """What tokenizer_config.json has for the longest sequence, if it has anything."""
    file_name = os.path.join(directory, CONFIG)
    return read_json(file_name).get("model_max_length") if os.path.isfile(file_name) else None


def write_tokenizer(directory: str, preprocessor: Preprocessor) -> None:
    """Writes vocab.txt, tokenizer.json, tokenizer_config.json and special_tokens_map.json.

    They are the files of a BERT tokenizer, whatever the tokenization is. A warning says what
    Google's tokenization does differently.
    """
    with open(os.path.join(directory, preprocessor.vocabulary_file_name), "wb") as file:
        file.write(preprocessor.vocabulary)
    if preprocessor.tokenization == SENTENCEPIECE:
        write_model_json(directory, preprocessor.sentencepiece_model, preprocessor.seq_length)
        return
    ids = {token: number for number, token in enumerate(preprocessor.tokens)}
    most = preprocessor.max_word_characters
    if preprocessor.tokenization != HUGGING_FACE:
        most = preprocessor.max_word_bytes
        warnings.warn(
            "Hugging Face's tokenizers read white space beyond ASCII and invisible characters "
            "otherwise than this model's tokenization (Google's): sentences with them will have "
            f"other embeddings there.{_word_limit_warning(most)}",
            stacklevel=4,
        )
    # null where the vocabulary has no [MASK], or transformers would add one behind the table's end.
    special = {key: token if token in ids else None for key, token in _SPECIAL.items()}
    config = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": preprocessor.lower_case,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "model_max_length": preprocessor.seq_length,
        **special,
    }
    special = {key: token for key, token in special.items() if token is not None}
    for name, content in (
        (CONFIG, config),
        (SPECIAL_TOKENS, special),
        (
            TOKENIZER,
            tokenizer_json(
                ids,
                preprocessor.lower_case,
                most,
                sorted(special.values(), key=ids.get),
            ),
        ),
    ):
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            file.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _word_limit_warning(max_word_bytes: int | None) -> str:
    """Return what changes when a limit in bytes becomes one in characters, the only one there."""
    if max_word_bytes is None:
        return ""
    shortest = max_word_bytes // 3 + 1
    return (
        f" So will sentences with words longer than {max_word_bytes} bytes, which are [UNK] here: "
        f"there the limit is {max_word_bytes} characters, so that words of {shortest} to "
        f"{max_word_bytes} Thai, Lao, Khmer, Burmese or Japanese letters are split into pieces."
    )


def _lower_case(directory: str, config: dict, tokenizer: dict | None) -> bool:
    said = config.get("do_lower_case")
    if tokenizer is not None:
        inside = tokenizer["normalizer"].get("lowercase")
        if said is None and config.get("tokenizer_class") in _OF_TOKENIZER_JSON:
            said = inside
        # BertTokenizer takes this from its own argument, True by default.
        if inside != (True if said is None else said):
            raise ValueError(
                f"{directory!r}: {TOKENIZER} has lowercase={inside}, but {CONFIG} has "
                f"do_lower_case={said} (transformers takes None for True). Correct the wrong one."
            )
        said = inside
    if not isinstance(said, bool):
        raise ValueError(
            f"{directory!r}: neither {CONFIG} nor {TOKENIZER} says whether to lower-case. If its "
            f'vocabulary is cased, as LaBSE\'s is, write {{"do_lower_case": false}} to {CONFIG}, '
            "else true."
        )
    normalizer = {} if tokenizer is None else tokenizer["normalizer"]
    for name, content in ((CONFIG, config), (TOKENIZER, normalizer)):
        if (strips := content.get("strip_accents")) not in (None, said):
            raise ValueError(
                f"{os.path.join(directory, name)!r}: strip_accents={strips} and lower-casing={said}"
                ", but here accents are stripped if and only if text is lower-cased."
            )
    return said
