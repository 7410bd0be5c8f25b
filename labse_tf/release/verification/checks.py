"""The checks of the release format: functions of what an inspection of a SavedModel found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from labse_tf.encoder.encoder import INPUTS

SENTENCES = (
    "Where is the station?",
    "Wo ist der Bahnhof?",
    "駅はどこですか。",
    "Где вокзал?",
    "أين المحطة؟",
    "",
    "\0 \u0301 \U0001f642 no word",
    "a sentence that is longer than what an encoder of positions takes " * 60,
)
# TF Text's operations that TensorFlow Serving has linked since 2.12, which took TF Text 2.12.1.
SERVED = {
    "CaseFoldUTF8",
    "FastBertNormalize",
    "FastWordpieceTokenizeWithOffsets",
    "NormalizeUTF8",
    "RegexSplitWithOffsets",
    "WordpieceTokenizeWithOffsets",
}
# Largest share of the dimensions that may be constant; up to it, the check passes with a warning.
MAX_CONSTANT_SHARE = 0.2
_LEAST_RANGE = 1e-3  # Of a dimension that varies, in units of 1 / sqrt(dim).
# The most that two computations of one embedding may differ by.
TOLERANCE, BFLOAT16_TOLERANCE = 1e-5, 2e-2


class Inspection(NamedTuple):
    """What each thing that `inspector.py` tried returned, or its error, and all arrays."""

    facts: Mapping[str, object]
    arrays: Mapping[str, np.ndarray]


class CheckFailed(Exception):
    """A requirement that is not met; the message says what was found."""


def value(facts: Mapping[str, object], name: str):
    """What was found under a name; raises CheckFailed if that was nothing or an error."""
    value = facts.get(name)
    if value is None:
        raise CheckFailed(f"{name}: nothing was found")
    if isinstance(value, dict) and set(value) == {"error"}:
        raise CheckFailed(f"{name}: {value['error']}")
    return value


def _setting(model: Inspection, *names: str):
    """A value of the release's configuration."""
    found = value(model.facts, "config")
    for name in names:
        if not isinstance(found, dict) or name not in found:
            raise CheckFailed(f"the configuration has no {'.'.join(names)}")
        found = found[name]
    return found


def _array(model: Inspection, name: str, *parts: str) -> np.ndarray:
    """An array that was found; `parts` are the names within it."""
    value(model.facts, name)
    key = "/".join((name, *parts))
    if key not in model.arrays:
        raise CheckFailed(f"{key} is missing")
    return model.arrays[key]


def require(condition: bool, found: str) -> None:
    """Raises CheckFailed with what was found, unless the condition holds."""
    if not condition:
        raise CheckFailed(found)


def _tolerance(model: Inspection) -> float:
    config = model.facts.get("config")
    bfloat16 = isinstance(config, dict) and config.get("compute_dtype") == "bfloat16"
    return BFLOAT16_TOLERANCE if bfloat16 else TOLERANCE


def _close(model: Inspection, a: np.ndarray, b: np.ndarray) -> str:
    require(a.shape == b.shape, f"shapes {a.shape} and {b.shape}")
    difference = float(np.abs(a - b).max(initial=0))
    require(difference <= _tolerance(model), f"differs by {difference:.2g}")  # NaN does not pass
    return f"within {difference:.2g}"


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


def _embeds(model: Inspection) -> str:
    rows = _array(model, "root")
    require(rows.dtype == np.float32 and rows.ndim == 2, f"{rows.dtype} {rows.shape}")
    require(len(rows) == len(SENTENCES), f"{len(rows)} rows for {len(SENTENCES)} sentences")
    lengths = np.linalg.norm(rows, axis=1)
    require(bool((np.abs(lengths - 1) < 1e-4).all()), f"rows of length {lengths.round(4)}")
    require(float(np.ptp(rows, axis=0).max()) > 1e-3, "all sentences have the same embedding")
    return f"float32 [batch, {rows.shape[1]}]"


def constant_dimensions(embeddings: np.ndarray) -> np.ndarray:
    """Return the indices of the dimensions that are the same for all sentences.

    Such dimensions carry no information: a layer normalization's scale has decayed to 0, for
    example.

    Args:
        embeddings: Unit rows of different sentences, [sentences, dim].
    """
    least = _LEAST_RANGE / embeddings.shape[1] ** 0.5
    return np.flatnonzero(np.ptp(np.asarray(embeddings, np.float32), axis=0) < least)


def _dimensions(model: Inspection) -> str:
    rows = _array(model, "root")
    dim, constant = rows.shape[1], len(constant_dimensions(rows))
    if not constant:
        return f"all {dim} vary"
    found = f"{constant} of {dim} dimensions are constant"
    require(constant <= MAX_CONSTANT_SHARE * dim, f"{found}, more than {MAX_CONSTANT_SHARE:.0%}")
    return f"warning: {found}"


def _empty(model: Inspection) -> str:
    shape = _array(model, "root/empty batch").shape
    expected = (0, _array(model, "root").shape[1])
    require(shape == expected, f"{shape}")
    return f"{list(shape)}"


def _training(model: Inspection) -> str:
    rate = _setting(model, "encoder", "dropout")
    once, again, plain = (
        _array(model, name) for name in ("root/training", "root/training again", "root")
    )
    value(model.facts, "encoder/training")
    if rate == 0:
        _close(model, once, plain)
        return "both traces; dropout 0"
    require(not np.allclose(once, again) and not np.allclose(once, plain), "nothing is dropped")
    return f"both traces; dropout {rate}"


def _weights(model: Inspection) -> str:
    for name in ("root/weights", "encoder/weights"):
        variables, trainable = value(model.facts, name)
        config = model.facts.get("config")
        is_int8 = isinstance(config, dict) and config.get("weights_dtype") == "int8"
        fewest = 0 if is_int8 else 1
        require(variables >= trainable >= fewest, f"{name}: {variables} and {trainable} to train")
    losses = value(model.facts, "regularization_losses")
    if not trainable:
        return f"none to train, since the word embeddings are in int8, {losses} losses"
    return f"{trainable} to train, {losses} losses"


def _pooled(model: Inspection, name: str) -> np.ndarray:
    """An encoder's raw sentence embeddings, by whichever name it has for them."""
    value(model.facts, name)
    found = [f"{name}/{key}" for key in ("default", "pooled_output")]
    found = [key for key in found if key in model.arrays]
    require(bool(found), f"{name} has neither default nor pooled_output")
    return model.arrays[found[0]]


def _encoder(model: Inspection) -> str:
    require(value(model.facts, "ids") == "dict", "takes a list of three tensors of ids, not a dict")
    raw, sequence = (_array(model, "encoder", key) for key in ("default", "sequence_output"))
    _close(model, raw, _array(model, "encoder", "pooled_output"))
    require(sequence.ndim == 3 and len(sequence) == len(raw), f"{sequence.shape}")
    return "default, pooled_output, sequence_output"


def _preprocessor(model: Inspection) -> str:
    width = _setting(model, "seq_length")
    found = value(model.facts, "width")
    require(found == [width] * 3, f"widths {found}, seq_length {width}")
    for name in INPUTS:
        ids = _array(model, "preprocessor", name)
        require(ids.dtype == np.int32, f"{name} is {ids.dtype}")
    return f"int32 [batch, {width}], static"


def _packing(model: Inspection) -> str:
    value(model.facts, "tokenize")
    tokens = value(model.facts, "special_tokens")
    _array(model, "bert_pack_inputs/1", "input_word_ids")
    types = _array(model, "bert_pack_inputs/2", "input_type_ids")
    require(types.shape[1] == 9 and types.max() == 1, f"{types.shape}, types to {types.max()}")
    return f"tokenize, bert_pack_inputs, {len(tokens)} special tokens"


def _normalised(model: Inspection) -> str:
    return _close(model, _array(model, "root"), _unit(_pooled(model, "encoder")))


def _serving(model: Inspection) -> str:
    signatures = value(model.facts, "signatures")
    expected = {
        "serving_default": {"sentences": "string (None,)"},
        "token_ids": dict.fromkeys(INPUTS, "int32 (None, None)"),
    }
    for name, inputs in expected.items():
        require(name in signatures, f"no signature {name}")
        require(signatures[name]["inputs"] == inputs, f"{name}: {signatures[name]['inputs']}")
        _close(model, _array(model, name, "embeddings"), _array(model, "root"))
    return ", ".join(expected)


def _warm_up(model: Inspection) -> str:
    requests = value(model.facts, "warm-up")
    sizes = [size for signature, size in requests if signature == "serving_default"]
    require(bool(sizes), "no request of strings")
    return f"{len(requests)} requests, batches of {sorted(set(sizes))}"


def _config(model: Inspection) -> str:
    rows = value(model.facts, "word table")
    shape = [_setting(model, "encoder", name) for name in ("vocab_size", "hidden_size")]
    require(shape == rows, f"{shape[0]} x {shape[1]}, but the word table is {rows}")
    lines = value(model.facts, "vocabulary")
    require(lines in (rows[0], rows[0] - 1), f"{lines} lines of vocabulary for {rows[0]} rows")
    lower = value(model.facts, "do_lower_case")
    said, layers = _setting(model, "lower_case"), _setting(model, "encoder", "num_layers")
    require(said == lower, f"do_lower_case {lower}, but the configuration says {said}")
    return f"{layers} layers, {rows[0]:,} x {rows[1]}, lower_case {lower}"


def _operations(model: Inspection) -> str:
    foreign = set(value(model.facts, "operations"))
    require(foreign <= SERVED, f"not linked: {', '.join(sorted(foreign - SERVED))}")
    return f"{len(foreign)} of TF Text"


def deterministic(model: Inspection, again: Inspection) -> str:
    """Whether the results of two processes are equal bit for bit."""
    names = [name for name in model.arrays if "training" not in name]
    require(bool(names), "there were no results")
    for name in names:
        same = name in again.arrays and np.array_equal(model.arrays[name], again.arrays[name])
        require(same, f"{name} is another in another process")
    return f"{len(names)} results, equal in two processes"


def same_embeddings(model: Inspection, other: Inspection) -> str:
    """Compares embeddings of strings, or of token ids where one takes no strings."""
    value(other.facts, "load")
    if isinstance(other.facts.get("root"), str) and isinstance(model.facts.get("root"), str):
        return _close(model, _array(model, "root"), _array(other, "root"))
    return _close(model, *(_unit(_pooled(x, "encoder on ids")) for x in (model, other)))


CHECKS: tuple[tuple[str, Callable[[Inspection], str]], ...] = (
    ("strings to unit rows", _embeds),
    ("dimensions that vary", _dimensions),
    ("an empty batch", _empty),
    ("training False and True", _training),
    ("weights to train", _weights),
    ("encoder, TF-Hub's API", _encoder),
    ("preprocessor, TF-Hub's API", _preprocessor),
    ("packing of segments", _packing),
    ("normalised encoder output", _normalised),
    ("signatures", _serving),
    ("warm-up requests", _warm_up),
    ("configuration", _config),
    ("operations of TensorFlow Serving", _operations),
)
