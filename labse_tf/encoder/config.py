"""EncoderConfig: the shape of an encoder."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

POOLINGS = ("cls", "cls_token", "mean")
ACTIVATIONS = ("gelu", "gelu_tanh", "relu")


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """The shape of a BERT encoder and how a sentence is pooled from it.

    The defaults are those of google/LaBSE/2 (https://tfhub.dev/google/LaBSE/2; arXiv 2007.01852,
    section 3.1). `vocab_size`, the number of lines of a vocabulary, has no default.

    Args:
        vocab_size: rows of the word embedding table.
        hidden_size: width of a token's vector and of the sentence embedding.
        num_layers: transformer layers; 0 is legal (embeddings, layer norm, pooling).
        num_heads: attention heads; must divide `hidden_size`.
        intermediate_size: width of the feed-forward layer.
        max_positions: longest sequence, in tokens.
        type_vocab_size: segment types.
        pooling: `"cls"`, tanh(dense([CLS])) as in LaBSE; `"cls_token"`, the vector of the first
            token as it is (BAAI/bge-m3); or `"mean"`, the mean of the tokens under the mask
            (multilingual E5).
        activation: of the feed-forward layers: `"gelu"`, by erf, as in LaBSE; `"gelu_tanh"`, its
            approximation by tanh (Hugging Face's `gelu_new`, Model Garden's `gelu`); or `"relu"`.
        dropout: rate on embeddings, attention weights and each sub-layer's output.
        layer_norm_epsilon: added to the variance.
        initializer_range: standard deviation of the truncated normal that initialises weights.

    Raises:
        TypeError: a field is not of its type.
        ValueError: a field is out of its range; the message names field and value.

    Example:
        >>> EncoderConfig(vocab_size=501_153).head_size
        64
    """

    vocab_size: int
    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    intermediate_size: int = 3072
    max_positions: int = 512
    type_vocab_size: int = 2
    pooling: str = "cls"
    activation: str = "gelu"
    dropout: float = 0.1
    layer_norm_epsilon: float = 1e-12
    initializer_range: float = 0.02

    def __post_init__(self):
        for name, lowest in (
            ("vocab_size", 1),
            ("hidden_size", 1),
            ("num_layers", 0),
            ("num_heads", 1),
            ("intermediate_size", 1),
            ("max_positions", 3),
            ("type_vocab_size", 1),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"`{name}` must be an int, but it is {value!r}.")
            if value < lowest:
                raise ValueError(f"`{name}` (={value}) must be at least {lowest}.")
        for name in ("dropout", "layer_norm_epsilon", "initializer_range"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"`{name}` must be a number, but it is {value!r}.")
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"`hidden_size` (={self.hidden_size}) must be divisible by "
                f"`num_heads` (={self.num_heads})."
            )
        for name, known in (("pooling", POOLINGS), ("activation", ACTIVATIONS)):
            if getattr(self, name) not in known:
                raise ValueError(f"`{name}` (={getattr(self, name)!r}) must be one of {known}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"`dropout` (={self.dropout}) must be in [0, 1).")
        if not self.layer_norm_epsilon > 0:
            raise ValueError(f"`layer_norm_epsilon` (={self.layer_norm_epsilon}) must be above 0.")
        if not self.initializer_range > 0:
            raise ValueError(f"`initializer_range` (={self.initializer_range}) must be above 0.")

    @property
    def pools_first_token(self) -> bool:
        """Whether a sentence embedding depends on the first token's output alone."""
        return self.pooling != "mean"

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_heads

    @classmethod
    def base(cls, vocab_size: int = 501_153, **changes: Any) -> EncoderConfig:
        """google/LaBSE/2: 12 layers of 768, 471 million weights, 501,153 cased word pieces."""
        return cls(vocab_size=vocab_size, **changes)

    @classmethod
    def small(cls, vocab_size: int, **changes: Any) -> EncoderConfig:
        """Two layers of 256, mean pooling: trains from scratch in minutes on two cores."""
        shape = dict(
            hidden_size=256,
            num_layers=2,
            num_heads=4,
            intermediate_size=1024,
            max_positions=128,
            pooling="mean",
        )
        return cls(vocab_size=vocab_size, **{**shape, **changes})

    def to_json(self) -> str:
        """All fields as a JSON object."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> EncoderConfig:
        """Reads what `to_json` wrote.

        Raises:
            ValueError: not a JSON object, or a field is unknown, missing or out of range.
        """
        try:
            fields = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"The encoder configuration is not JSON: {error}.") from error
        if not isinstance(fields, dict):
            raise ValueError(f"The encoder configuration must be a JSON object, not {fields!r}.")
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(fields) - known):
            raise ValueError(
                f"Unknown fields in the encoder configuration: {unknown}; known are "
                f"{sorted(known)}. Was it written by a newer version?"
            )
        if "vocab_size" not in fields:
            raise ValueError("The encoder configuration lacks `vocab_size`.")
        return cls(**fields)
