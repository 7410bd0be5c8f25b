"""The promises of the release format: each function is given what a reader saw, and judges one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from labse_tf.release.verification.reader import INPUTS, SENTENCES

# TF Text's operations that TensorFlow Serving has linked since 2.12, which took TF Text 2.12.1.
SERVED = {
    "CaseFoldUTF8",
    "FastBertNormalize",
    "FastWordpieceTokenizeWithOffsets",
    "NormalizeUTF8",
    "RegexSplitWithOffsets",
    "WordpieceTokenizeWithOffsets",
}
SAME = 1e-5  # of two computations of one embedding, float32
SAME_BFLOAT16 = 2e-2


class Seen(NamedTuple):
    """What came of each thing that a reader tried, and the arrays that it got."""

    facts: Mapping[str, object]
    arrays: Mapping[str, np.ndarray]


class Broken(Exception):
    """A promise that does not hold; the message says what was seen."""


def value(facts: Mapping[str, object], name: str):
    """What was seen under a name; raises Broken if that was nothing or an error."""
    value = facts.get(name)
    if value is None:
        raise Broken(f"{name}: nothing was seen")
    if isinstance(value, dict) and set(value) == {"error"}:
        raise Broken(f"{name}: {value['error']}")
    return value


def _setting(seen: Seen, *names: str):
    """A value of the release's configuration."""
    found = value(seen.facts, "config")
    for name in names:
        if not isinstance(found, dict) or name not in found:
            raise Broken(f"the configuration has no {'.'.join(names)}")
        found = found[name]
    return found


def _array(seen: Seen, name: str, *parts: str) -> np.ndarray:
    """An array that was seen; `parts` are the names within it."""
    value(seen.facts, name)
    key = "/".join((name, *parts))
    if key not in seen.arrays:
        raise Broken(f"{key} is missing")
    return seen.arrays[key]


def require(condition: bool, found: str) -> None:
    """Raises Broken with what was found, unless the condition holds."""
    if not condition:
        raise Broken(found)


def _tolerance(seen: Seen) -> float:
    config = seen.facts.get("config")
    bfloat16 = isinstance(config, dict) and config.get("compute_dtype") == "bfloat16"
    return SAME_BFLOAT16 if bfloat16 else SAME


def _close(seen: Seen, a: np.ndarray, b: np.ndarray) -> str:
    require(a.shape == b.shape, f"shapes {a.shape} and {b.shape}")
    difference = float(np.abs(a - b).max(initial=0))
    require(difference <= _tolerance(seen), f"differs by {difference:.2g}")  # NaN does not pass
    return f"within {difference:.2g}"


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


def _embeds(seen: Seen) -> str:
    rows = _array(seen, "root")
    require(rows.dtype == np.float32 and rows.ndim == 2, f"{rows.dtype} {rows.shape}")
    require(len(rows) == len(SENTENCES), f"{len(rows)} rows for {len(SENTENCES)} sentences")
    lengths = np.linalg.norm(rows, axis=1)
    require(bool((np.abs(lengths - 1) < 1e-4).all()), f"rows of length {lengths.round(4)}")
    require(float(np.ptp(rows, axis=0).max()) > 1e-3, "all sentences have the same embedding")
    return f"float32 [batch, {rows.shape[1]}]"


def _empty(seen: Seen) -> str:
    shape = _array(seen, "root/empty batch").shape
    expected = (0, _array(seen, "root").shape[1])
    require(shape == expected, f"{shape}")
    return f"{list(shape)}"


def _training(seen: Seen) -> str:
    rate = _setting(seen, "encoder", "dropout")
    once, again, plain = (
        _array(seen, name) for name in ("root/training", "root/training again", "root")
    )
    value(seen.facts, "encoder/training")
    if rate == 0:
        _close(seen, once, plain)
        return "both traces; dropout 0"
    require(not np.allclose(once, again) and not np.allclose(once, plain), "nothing is dropped")
    return f"both traces; dropout {rate}"


def _weights(seen: Seen) -> str:
    for name in ("root/weights", "encoder/weights"):
        variables, trainable = value(seen.facts, name)
        require(variables >= trainable > 0, f"{name}: {variables} and {trainable} to train")
    return f"{trainable} to train, {value(seen.facts, 'regularization_losses')} losses"


def _pooled(seen: Seen, name: str) -> np.ndarray:
    """An encoder's raw sentence embeddings, by whichever name it has for them."""
    value(seen.facts, name)
    found = [f"{name}/{key}" for key in ("default", "pooled_output")]
    found = [key for key in found if key in seen.arrays]
    require(bool(found), f"{name} has neither default nor pooled_output")
    return seen.arrays[found[0]]


def _encoder(seen: Seen) -> str:
    require(value(seen.facts, "ids") == "dict", "takes a list of three tensors of ids, not a dict")
    raw, sequence = (_array(seen, "encoder", key) for key in ("default", "sequence_output"))
    _close(seen, raw, _array(seen, "encoder", "pooled_output"))
    require(sequence.ndim == 3 and len(sequence) == len(raw), f"{sequence.shape}")
    return "default, pooled_output, sequence_output"


def _preprocessor(seen: Seen) -> str:
    width = _setting(seen, "seq_length")
    found = value(seen.facts, "width")
    require(found == [width] * 3, f"widths {found}, seq_length {width}")
    for name in INPUTS:
        ids = _array(seen, "preprocessor", name)
        require(ids.dtype == np.int32, f"{name} is {ids.dtype}")
    return f"int32 [batch, {width}], static"


def _packing(seen: Seen) -> str:
    value(seen.facts, "tokenize")
    tokens = value(seen.facts, "special_tokens")
    _array(seen, "bert_pack_inputs/1", "input_word_ids")
    types = _array(seen, "bert_pack_inputs/2", "input_type_ids")
    require(types.shape[1] == 9 and types.max() == 1, f"{types.shape}, types to {types.max()}")
    return f"tokenize, bert_pack_inputs, {len(tokens)} special tokens"


def _normalised(seen: Seen) -> str:
    return _close(seen, _array(seen, "root"), _unit(_pooled(seen, "encoder")))


def _serving(seen: Seen) -> str:
    signatures = value(seen.facts, "signatures")
    expected = {
        "serving_default": {"sentences": "string (None,)"},
        "token_ids": dict.fromkeys(INPUTS, "int32 (None, None)"),
    }
    for name, inputs in expected.items():
        require(name in signatures, f"no signature {name}")
        require(signatures[name]["inputs"] == inputs, f"{name}: {signatures[name]['inputs']}")
        _close(seen, _array(seen, name, "embeddings"), _array(seen, "root"))
    return ", ".join(expected)


def _warm_up(seen: Seen) -> str:
    requests = value(seen.facts, "warm-up")
    sizes = [size for signature, size in requests if signature == "serving_default"]
    require(bool(sizes), "no request of strings")
    return f"{len(requests)} requests, batches of {sorted(set(sizes))}"


def _config(seen: Seen) -> str:
    rows = value(seen.facts, "word table")
    shape = [_setting(seen, "encoder", name) for name in ("vocab_size", "hidden_size")]
    require(shape == rows, f"{shape[0]} x {shape[1]}, but the word table is {rows}")
    lines = value(seen.facts, "vocabulary")
    require(lines in (rows[0], rows[0] - 1), f"{lines} lines of vocabulary for {rows[0]} rows")
    lower = value(seen.facts, "do_lower_case")
    said, layers = _setting(seen, "lower_case"), _setting(seen, "encoder", "num_layers")
    require(said == lower, f"do_lower_case {lower}, but the configuration says {said}")
    return f"{layers} layers, {rows[0]:,} x {rows[1]}, lower_case {lower}"


def _operations(seen: Seen) -> str:
    foreign = set(value(seen.facts, "operations"))
    require(foreign <= SERVED, f"not linked: {', '.join(sorted(foreign - SERVED))}")
    return f"{len(foreign)} of TF Text"


def equal_bits(seen: Seen, again: Seen) -> str:
    names = [name for name in seen.arrays if "training" not in name]
    require(bool(names), "there were no results")
    for name in names:
        same = name in again.arrays and np.array_equal(seen.arrays[name], again.arrays[name])
        require(same, f"{name} is another in another process")
    return f"{len(names)} results, equal in two processes"


def equal(seen: Seen, other: Seen) -> str:
    """By the strings' embeddings, or by the encoders' where one takes no strings."""
    value(other.facts, "load")
    if isinstance(other.facts.get("root"), str) and isinstance(seen.facts.get("root"), str):
        return _close(seen, _array(seen, "root"), _array(other, "root"))
    return _close(seen, *(_unit(_pooled(x, "encoder on ids")) for x in (seen, other)))


PROMISES: tuple[tuple[str, Callable[[Seen], str]], ...] = (
    ("strings to unit rows", _embeds),
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
