"""Tokenizer files of XLM-RoBERTa's family: sentencepiece.bpe.model and a Unigram tokenizer.json."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

from labse_tf.pretrained.tokenizer_json import require, require_right
from labse_tf.tokenization.choices import SENTENCEPIECE_FILE
from labse_tf.tokenization.sentencepiece_model import (
    END,
    END_ID,
    MASK,
    PADDING,
    START,
    START_ID,
    UNKNOWN,
    UNKNOWN_ID,
    SentencePieceModel,
)

_SPECIAL = {
    "bos_token": START,
    "eos_token": END,
    "unk_token": UNKNOWN,
    "sep_token": END,
    "pad_token": PADDING,
    "cls_token": START,
    "mask_token": MASK,
}
_WORD_START = "\u2581"


def read_model(directory: str, tokenizer: dict[str, Any] | None) -> SentencePieceModel | None:
    """Read the SentencePiece model of a directory; None if its tokenizer is not SentencePiece.

    Args:
        directory: Directory of the model.
        tokenizer: Content of its tokenizer.json, if it has one.

    Raises:
        ValueError: If the model is not in XLM-RoBERTa's layout, tokenizer.json has other steps than
            SentencePiece, or the two files differ.
    """
    model_file = os.path.join(directory, SENTENCEPIECE_FILE)
    tokenizer_file = os.path.join(directory, "tokenizer.json")
    is_unigram = (tokenizer or {}).get("model", {}).get("type") == "Unigram"
    if not os.path.isfile(model_file):
        return _from_json(tokenizer_file, tokenizer) if is_unigram else None
    model = SentencePieceModel.from_file(model_file)
    if tokenizer is not None and (
        not is_unigram or _from_json(tokenizer_file, tokenizer).tokens != model.tokens
    ):
        raise ValueError(
            f"{model_file!r} and {tokenizer_file!r} are different tokenizers. Remove the wrong one."
        )
    return model


def write_model_json(directory: str, model: SentencePieceModel, seq_length: int) -> None:
    """Write tokenizer.json, tokenizer_config.json and special_tokens_map.json of a model.

    Args:
        directory: Directory to write to.
        model: The SentencePiece model, a unigram model.
        seq_length: Longest sequence in tokens.

    Raises:
        ValueError: If the model is a BPE model, which tokenizer.json cannot express.
    """
    if not model.is_unigram:
        raise ValueError("Only unigram SentencePiece models can be written for Hugging Face.")
    config = {
        "tokenizer_class": "XLMRobertaTokenizer",
        "model_max_length": seq_length,
        **_SPECIAL,
    }
    for name, content in (
        ("tokenizer.json", _to_json(model)),
        ("tokenizer_config.json", config),
        ("special_tokens_map.json", _SPECIAL),
    ):
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False, indent=None if "model" in content else 2)


def _from_json(file_name: str, tokenizer: dict[str, Any]) -> SentencePieceModel:
    def part(name: str) -> dict:
        value = tokenizer.get(name)
        return value if isinstance(value, dict) else {}

    model, normalizer, pre_tokenizer = part("model"), part("normalizer"), part("pre_tokenizer")
    steps = normalizer.get("normalizers", [normalizer])
    require(file_name, "model.unk_id", model.get("unk_id"), UNKNOWN_ID)
    require(file_name, "model.byte_fallback", model.get("byte_fallback", False), False)
    require(file_name, "normalizer", steps[0].get("type"), "Precompiled")
    for step in steps[1:]:  # SentencePiece removes white space that is repeated, or at an end
        if step.get("type") not in ("Replace", "Strip") or step.get("content") not in (
            None,
            " ",
            _WORD_START,
        ):
            require(file_name, "normalizer", step, "a Replace or Strip of white space")
    splits = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    for step in splits:
        if step.get("type") != "WhitespaceSplit":
            require(file_name, "pre_tokenizer", step.get("type"), "Metaspace")
            prepends = step.get("add_prefix_space", True) and step.get("prepend_scheme") != "never"
            require(file_name, "pre_tokenizer.add_prefix_space", prepends, True)
    for name in ("truncation", "padding"):
        require_right(file_name, f"{name}.direction", part(name).get("direction"))
    _check_special_tokens(file_name, part("post_processor"))
    vocabulary = [tuple(entry) for entry in model["vocab"]]
    for added in tokenizer.get("added_tokens") or []:
        token_id, content = added["id"], added["content"]
        if token_id == len(vocabulary) and content == MASK:
            vocabulary.append((MASK, 0.0))
        elif not token_id < len(vocabulary) or vocabulary[token_id][0] != content:
            raise ValueError(
                f"{file_name!r} adds the token {content!r} (id {token_id}) to its vocabulary of "
                f"{len(vocabulary)} pieces, which is not supported."
            )
        elif not added.get("special"):
            raise ValueError(
                f"{file_name!r} lists the piece {content!r} among its `added_tokens`: it would "
                "then be matched inside of words, which is not supported. Remove the entry if that "
                "is not meant."
            )
    charsmap = steps[0].get("precompiled_charsmap") or ""
    try:
        return SentencePieceModel.from_unigram(vocabulary, base64.b64decode(charsmap))
    except ValueError as error:
        raise ValueError(f"{file_name!r}: {error}") from error


def _check_special_tokens(file_name: str, post: dict) -> None:
    """Raise a ValueError unless a sequence is `<s> tokens </s>` with XLM-RoBERTa's ids."""
    kind = post.get("type")
    if kind == "RobertaProcessing":
        found = [tuple(post.get("cls", ())), tuple(post.get("sep", ()))]
        require(file_name, "post_processor", found, [(START, START_ID), (END, END_ID)])
        return
    require(file_name, "post_processor.type", kind, "TemplateProcessing")
    single = [next(iter(step.values())).get("id") for step in post.get("single", [])]
    require(file_name, "post_processor.single", single, [START, "A", END])
    for token, token_id in ((START, START_ID), (END, END_ID)):
        ids = post.get("special_tokens", {}).get(token, {}).get("ids")
        require(file_name, f"post_processor.special_tokens[{token!r}].ids", ids, [token_id])


def _to_json(model: SentencePieceModel) -> dict[str, Any]:
    def token(name: str) -> dict:
        return {"SpecialToken": {"id": name, "type_id": 0}}

    def sequence(name: str) -> dict:
        return {"Sequence": {"id": name, "type_id": 0}}

    flags = {"single_word": False, "rstrip": False, "normalized": False, "special": True}
    tokens = model.tokens
    metaspace = {"type": "Metaspace", "replacement": _WORD_START, "prepend_scheme": "always"}
    single = [token(START), sequence("A"), token(END)]
    steps = [{"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]
    if model.normalization_map:
        charsmap = base64.b64encode(model.normalization_map).decode()
        steps.insert(0, {"type": "Precompiled", "precompiled_charsmap": charsmap})
    steps.append({"type": "Strip", "strip_left": True, "strip_right": True})
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": tokens.index(t), "content": t, "lstrip": t == MASK, **flags}
            for t in (START, PADDING, END, UNKNOWN, MASK)
        ],
        "normalizer": {"type": "Sequence", "normalizers": steps},
        "pre_tokenizer": {**metaspace, "split": True},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": [*single, token(END), sequence("B"), token(END)],
            "special_tokens": {
                t: {"id": t, "ids": [i], "tokens": [t]}
                for t, i in ((START, START_ID), (END, END_ID))
            },
        },
        "decoder": {**metaspace, "split": True},
        "model": {
            "type": "Unigram",
            "unk_id": UNKNOWN_ID,
            "vocab": list(zip(tokens, model.scores.tolist())),
            "byte_fallback": False,
        },
    }
