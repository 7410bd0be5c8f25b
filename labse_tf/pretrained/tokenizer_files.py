"""Tokenizer files of Hugging Face's BERT models: vocab.txt, tokenizer.json, tokenizer_config.json.

They say how text becomes word pieces, partly twice. What they say is either what our Preprocessor
does, or it is refused: other token ids would give other embeddings without a sign of it.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import warnings
import weakref

from labse_tf.pretrained.safetensors_files import read_json
from labse_tf.pretrained.tokenizer_json import checked_tokens, require, tokenizer_json
from labse_tf.tokenization.preprocessing import (
    END,
    MASK,
    PADDING,
    START,
    UNKNOWN,
    Preprocessor,
    read_vocabulary,
)

VOCABULARY, TOKENIZER, CONFIG = "vocab.txt", "tokenizer.json", "tokenizer_config.json"
_SPECIAL = {
    "unk_token": UNKNOWN,
    "sep_token": END,
    "pad_token": PADDING,
    "cls_token": START,
    "mask_token": MASK,
}


def read_tokenizer(directory: str, seq_length: int) -> Preprocessor:
    """The Preprocessor that gives the token ids of the directory's tokenizer.

    The vocabulary is vocab.txt or, if absent, that of tokenizer.json; then it is kept in a file
    that lives as long as the Preprocessor.

    Whether to lower-case must be said: by tokenizer_config.json (which transformers follows), or,
    where that is silent, by tokenizer.json; if both say it they must agree.

    Three things are done as Google's own preprocessor of LaBSE does them, not as Hugging Face's: a
    word above 100 bytes is one [UNK] (there: above 100 characters); the name of a special token
    within a sentence is text like any other; and a few invisible characters (U+200B, U+00AD,
    U+2028) divide words otherwise. A model that lower-cases is warned of.

    Raises:
        FileNotFoundError: there is no vocabulary.
        ValueError: the vocabulary cannot be used, or the tokenizer does what ours cannot.
    """
    vocab_file, tokenizer_file, config_file = (
        os.path.join(directory, name) for name in (VOCABULARY, TOKENIZER, CONFIG)
    )
    tokenizer = read_json(tokenizer_file) if os.path.isfile(tokenizer_file) else None
    config = read_json(config_file) if os.path.isfile(config_file) else {}
    for key, wanted in [("tokenize_chinese_chars", True), ("do_basic_tokenize", True)]:
        require(config_file, key, config.get(key, wanted), wanted)
    for key, wanted in _SPECIAL.items():
        token = config.get(key)
        token = token.get("content") if isinstance(token, dict) else token
        require(config_file, key, wanted if token is None else token, wanted)
    tokens = None if tokenizer is None else checked_tokens(tokenizer_file, tokenizer)
    lower_case = _lower_case(directory, config, tokenizer)
    if os.path.isfile(vocab_file):
        ids = read_vocabulary(vocab_file)
        if tokens is not None and ids != {token: i for i, token in enumerate(tokens)}:
            raise ValueError(
                f"{vocab_file!r} ({len(ids)} tokens) and the vocabulary of {tokenizer_file!r} "
                f"({len(tokens)}) differ. Remove the wrong one."
            )
        return Preprocessor(vocab_file, seq_length, lower_case)
    if tokens is None:
        raise FileNotFoundError(
            f"{directory!r} has no vocabulary: neither vocab.txt nor {TOKENIZER}."
        )
    folder = tempfile.mkdtemp(prefix="labse_tf-")
    try:
        vocab_file = os.path.join(folder, VOCABULARY)
        with open(vocab_file, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{token}\n" for token in tokens)
        preprocessor = Preprocessor(vocab_file, seq_length, lower_case)
    except BaseException:
        shutil.rmtree(folder)
        raise
    weakref.finalize(preprocessor, shutil.rmtree, folder, ignore_errors=True)
    return preprocessor


def model_max_length(directory: str) -> int | None:
    """What tokenizer_config.json has for the longest sequence, if it has anything."""
    file_name = os.path.join(directory, CONFIG)
    return read_json(file_name).get("model_max_length") if os.path.isfile(file_name) else None


def write_tokenizer(directory: str, preprocessor: Preprocessor) -> None:
    """Writes vocab.txt, tokenizer.json, tokenizer_config.json and special_tokens_map.json."""
    shutil.copyfile(preprocessor.vocab_file, os.path.join(directory, VOCABULARY))
    ids = read_vocabulary(preprocessor.vocab_file)
    _warn_if_lower_case(preprocessor.lower_case)
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
        ("special_tokens_map.json", special),
        (
            TOKENIZER,
            tokenizer_json(ids, preprocessor.lower_case, sorted(special.values(), key=ids.get)),
        ),
    ):
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            file.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _lower_case(directory: str, config: dict, tokenizer: dict | None) -> bool:
    said = config.get("do_lower_case")
    if tokenizer is not None:
        inside = tokenizer["normalizer"].get("lowercase")
        if said is None and config.get("tokenizer_class") == "PreTrainedTokenizerFast":
            said = inside  # that class takes all from tokenizer.json
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
    _warn_if_lower_case(said)
    return said


def _warn_if_lower_case(lower_case: bool) -> None:
    if lower_case:
        warnings.warn(
            "TensorFlow lower-cases by Unicode's NFKC_Casefold, Hugging Face does not: the token "
            "ids of full-width punctuation, ligatures and the like will differ.",
            stacklevel=5,
        )
