"""What makes a SentenceTransformer of a BertModel: modules.json and the folders that it names."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping

from labse_tf.encoder.config import EncoderConfig
from labse_tf.pretrained.safetensors_files import read_json
from labse_tf.tokenization.prompts import check_prompts

MODULES = "modules.json"
_TRANSFORMER = "sentence_bert_config.json"
_PROMPTS = "config_sentence_transformers.json"
_TANH = "torch.nn.modules.activation.Tanh"
_POOLINGS = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}


@dataclasses.dataclass(frozen=True)
class SentenceTransformerFiles:
    """Where the parts of a SentenceTransformer lie, and what its files say.

    Args:
        transformer: the directory of the BertModel.
        pooling: One of `labse_tf.encoder.config.POOLINGS`.
        dense: Directory of the dense layer after [CLS]; None if there is none.
        max_seq_length: longest sequence in tokens, if it is said here.
        do_lower_case: whether text is lower-cased before the tokenizer sees it.
        prompts: Texts by name that can be put before each sentence.
        default_prompt_name: Name of the prompt that is used by default.
    """

    transformer: str
    pooling: str
    dense: str | None
    max_seq_length: int | None
    do_lower_case: bool
    prompts: dict[str, str]
    default_prompt_name: str | None


def read_modules(path: str) -> SentenceTransformerFiles:
    """Reads modules.json and the modules' configurations.

    Raises:
        FileNotFoundError: a module's configuration is missing.
        ValueError: they are not the modules of a LaBSE, or not set as LaBSE's are.
    """
    modules_file = os.path.join(path, MODULES)
    modules = read_json(modules_file, list)
    try:
        modules = sorted(modules, key=lambda module: module["idx"])
        types = [module["type"] for module in modules]
        folders = [os.path.join(path, module["path"]) for module in modules]
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{modules_file!r} must list modules, each with idx, path and type; it lacks: {error}."
        ) from error
    # The packages of these classes have changed with the versions, their names have not.
    kinds = [t.rpartition(".")[2] if t.startswith("sentence_transformers.") else t for t in types]
    with_dense = kinds[2:3] == ["Dense"]
    if kinds[:2] != ["Transformer", "Pooling"] or kinds[2 + with_dense :] not in (
        [],
        ["Normalize"],
    ):
        raise ValueError(_unlike(modules_file, f"the modules {kinds}"))
    if kinds[-1] == "Normalize":
        normalize_file = os.path.join(folders[-1], "config.json")
        if os.path.isfile(normalize_file):  # older versions write none
            _check_place(normalize_file, read_json(normalize_file))
    pooling = _pooling(os.path.join(folders[1], "config.json"))
    if with_dense and pooling != "cls":
        raise ValueError(_unlike(modules_file, f"pooling {pooling!r} in the modules {kinds}"))
    if pooling == "cls" and not with_dense:
        pooling = "cls_token"
    if with_dense:
        _check_dense(os.path.join(folders[2], "config.json"))
    pooling_file = os.path.join(folders[1], "config.json")
    prompts, default = _read_prompts(os.path.join(path, _PROMPTS), pooling_file)
    transformer_file = os.path.join(folders[0], _TRANSFORMER)
    transformer = read_json(transformer_file) if os.path.isfile(transformer_file) else {}
    return SentenceTransformerFiles(
        transformer=folders[0],
        pooling=pooling,
        dense=folders[2] if with_dense else None,
        max_seq_length=transformer.get("max_seq_length"),
        do_lower_case=bool(transformer.get("do_lower_case")),
        prompts=prompts,
        default_prompt_name=default,
    )


def write_modules(
    path: str,
    config: EncoderConfig,
    seq_length: int,
    prompts: Mapping[str, str],
    default_prompt_name: str | None,
) -> str | None:
    """Write everything except tensors.

    Args:
        path: Directory to write to.
        config: Shape of the encoder.
        seq_length: Longest sequence in tokens.
        prompts: Texts by name that can be put before each sentence.
        default_prompt_name: Name of the prompt that is used by default.

    Returns:
        The directory for the tensors of the dense layer, or None if there is none.
    """
    hidden = config.hidden_size
    files = {
        _TRANSFORMER: {"max_seq_length": seq_length, "do_lower_case": False},
        _PROMPTS: {
            "prompts": dict(prompts),
            "default_prompt_name": default_prompt_name,
            "similarity_fn_name": "cosine",
        },
        "1_Pooling/config.json": {
            "word_embedding_dimension": hidden,
            "pooling_mode_cls_token": config.pools_first_token,
            "pooling_mode_mean_tokens": not config.pools_first_token,
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
    }
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    dense = None
    if config.pooling == "cls":
        modules.append(("2_Dense", "Dense"))
        dense = os.path.join(path, "2_Dense")
        files["2_Dense/config.json"] = {
            "in_features": hidden,
            "out_features": hidden,
            "bias": True,
            "activation_function": _TANH,
        }
    normalize = f"{len(modules)}_Normalize"
    modules.append((normalize, "Normalize"))
    files[f"{normalize}/config.json"] = {}  # not an empty folder: git and the Hub keep none
    # The classes' and Pooling's old names, which every version knows.
    files[MODULES] = [
        {"idx": i, "name": str(i), "path": folder, "type": f"sentence_transformers.models.{kind}"}
        for i, (folder, kind) in enumerate(modules)
    ]
    for name, content in files.items():
        file_name = os.path.join(path, name)
        os.makedirs(os.path.dirname(file_name), exist_ok=True)
        with open(file_name, "w", encoding="utf-8") as file:
            file.write(json.dumps(content, indent=2) + "\n")
    return dense


def _pooling(file_name: str) -> str:
    config = read_json(file_name)
    modes = config.get("pooling_mode")  # as newer versions have it
    if modes is None:
        flags = [key for key, on in config.items() if key.startswith("pooling_mode_") and on]
        modes = [_POOLINGS.get(key, key) for key in flags]
    modes = [modes] if isinstance(modes, str) else list(modes)
    if modes not in (["cls"], ["mean"]):
        raise ValueError(_unlike(file_name, f"pooling {modes}"))
    return modes[0]


def _check_dense(file_name: str) -> None:
    config = read_json(file_name)
    if config.get("activation_function") != _TANH:
        raise ValueError(
            _unlike(file_name, f"the activation_function {config.get('activation_function')!r}")
        )
    if config.get("use_residual"):
        raise ValueError(_unlike(file_name, "use_residual"))
    _check_place(file_name, config)


def _check_place(file_name: str, config: dict) -> None:
    for key in ("module_input_name", "module_output_name"):
        if config.get(key, "sentence_embedding") not in (None, "sentence_embedding"):
            raise ValueError(_unlike(file_name, f"{key} {config[key]!r}"))


def _read_prompts(file_name: str, pooling_file: str) -> tuple[dict[str, str], str | None]:
    """Return the prompts by name, and the name of the default one."""
    config = read_json(file_name) if os.path.isfile(file_name) else {}
    prompts, default = config.get("prompts") or {}, config.get("default_prompt_name")
    try:
        check_prompts(prompts, default)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file_name!r}: {error}") from error
    # Versions from 3.4 on write empty prompts "query" and "document" into every model.
    prompts = {name: text for name, text in prompts.items() if text}
    if prompts and read_json(pooling_file).get("include_prompt") is False:
        raise ValueError(_unlike(pooling_file, "include_prompt false"))
    return prompts, default if default in prompts else None


def _unlike(file_name: str, found: str) -> str:
    return (
        f"{file_name!r} has {found}, but a sentence is embedded here by [CLS] pooling, with or "
        "without a Dense(tanh) of the same width, or by mean pooling."
    )
