"""How to train: TrainingConfig, and what translation ranking and pre-training add to it."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

from labse_tf.data.masked_text import DEFAULT_TLM_SHARE
from labse_tf.data.masking import DEFAULT_MASK_RATE
from labse_tf.encoder.precision import PRECISIONS
from labse_tf.losses.masked_language_model import DEFAULT_CHUNK_BYTES
from labse_tf.losses.ranking import DEFAULT_MARGIN, DEFAULT_SCALE
from labse_tf.training.stages import parse_stages

MEGABYTE = 2**20


def option(default: Any, help: str, *, paper: Any = None, model_garden: Any = None) -> Any:
    """A field of a configuration, which is a flag of a program as well.

    Args:
        default: its only default.
        help: what it is, with its unit.
        paper, model_garden: its value in arXiv 2007.01852 and in the Model Garden's LaBSE.
    """
    others = {"the paper": paper, "Model Garden": model_garden}
    said = "; ".join(f"{who}: {value}" for who, value in others.items() if value is not None)
    return dataclasses.field(
        default=default, metadata={"help": f"{help}; {said}" if said else help}
    )


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How long to train, with which optimizer and data order, and what to keep.

    Raises:
        ValueError: a field is out of its range; the message names field and value.
    """

    steps: int = option(10_000, "updates, each of a global batch")
    batch_size: int = option(256, "rows of a global batch, over all replicas")
    stages: str = option(
        "", "depths to grow through, with their shares of the steps, as 0:20%,6:80%"
    )
    learning_rate: float = option(5e-5, "highest learning rate")
    warmup_steps: int = option(
        100, "steps of each stage in which the learning rate rises; over all, it falls to 0"
    )
    weight_decay: float = option(0.01, "AdamW's, times the learning rate, a step; not of biases")
    clip_norm: float = option(1.0, "longest gradient, over all weights and replicas; 0: any")
    ema_decay: float = option(
        0.0, "decay a step of a moving average of the weights, which is the result; 0: none"
    )
    precision: str = option("float32", "of matmuls and activations: float32 or bfloat16")
    row_sparse: bool = option(
        True, "update the rows of the word embeddings that occurred alone; not with static_width"
    )
    exponent: float = option(1.0, "a file of n rows is drawn from in proportion to n**exponent")
    shuffle_buffer: int = option(200_000, "rows held in memory to shuffle among")
    static_width: bool = option(False, "pad every batch to the full length, as TPUs need")
    seed: int = option(0, "of the order of the data and of dropout")
    checkpoint_every: int = option(500, "steps between checkpoints")
    keep_checkpoints: int = option(3, "newest checkpoints that stay")
    report_every: int = option(50, "steps that the reported figures are the mean of")

    def __post_init__(self):
        lowest = dict(
            batch_size=2, checkpoint_every=1, keep_checkpoints=1, report_every=1, shuffle_buffer=1
        )
        self._check_least(("steps", "warmup_steps", "weight_decay", "clip_norm", "ema_decay"), 0)
        for name, least in lowest.items():
            self._check_least((name,), least)
        self._check_above_0("learning_rate")
        if not self.ema_decay < 1:
            raise ValueError(f"`ema_decay` (={self.ema_decay}) must be below 1.")
        if self.precision not in PRECISIONS:
            raise ValueError(f"`precision` (={self.precision!r}) must be one of {PRECISIONS}.")
        shortest = min(stage.steps for stage in self.parsed_stages)
        if self.steps and self.warmup_steps >= shortest:
            raise ValueError(
                f"`warmup_steps` (={self.warmup_steps}) must be below "
                + ("the steps of every stage" if self.stages else "`steps`")
                + f" (={shortest})."
            )

    @property
    def parsed_stages(self):
        """The stages; one that keeps the encoder's depth if `stages` is empty."""
        return parse_stages(self.stages, self.steps)

    def _check_least(self, names: tuple[str, ...], least: float) -> None:
        for name in names:
            if not least <= getattr(self, name) < math.inf:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be at least {least}.")

    def _check_above_0(self, *names: str) -> None:
        for name in names:
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be above 0.")


@dataclasses.dataclass(frozen=True)
class FineTuningConfig(TrainingConfig):
    """How to train by translation ranking; the program's flags are these fields.

    Raises:
        ValueError: a field is out of its range; the message names field and value.
    """

    steps: int = option(10_000, "updates, each of a global batch", paper="50,000")
    batch_size: int = option(256, "pairs of a global batch, over all replicas", paper="4,096")
    learning_rate: float = option(
        5e-5, "highest learning rate of AdamW", paper="1e-3", model_garden="1e-4"
    )
    margin: float = option(DEFAULT_MARGIN, "subtracted from a pair's cosine", paper=0.3)
    scale: float = option(
        DEFAULT_SCALE, "of the cosines, the softmax' inverse temperature", model_garden=100
    )
    hard_negatives: int = option(
        0, "columns behind the target with sentences that are no translations of the source"
    )
    chunk_size: int = option(
        0, "pairs of a replica in memory at a time, by gradient caching; 0: the whole batch"
    )
    freeze_embeddings: bool = option(False, "keep the tables of words, positions and types")
    freeze_layers: int = option(0, "keep so many of the lowest transformer layers")
    evaluate_every: int = option(500, "steps between measurements of the held-out pairs")
    patience: int = option(
        0, "measurements without a better one after which the run ends, with the best; 0: never"
    )

    def __post_init__(self):
        super().__post_init__()
        self._check_least(
            ("margin", "hard_negatives", "chunk_size", "freeze_layers", "patience"), 0
        )
        self._check_least(("evaluate_every",), 1)
        self._check_above_0("scale")


@dataclasses.dataclass(frozen=True)
class PretrainingConfig(TrainingConfig):
    """How to pre-train; the program's flags are these fields.

    Raises:
        ValueError: a field is out of its range; the message names field and value.
    """

    batch_size: int = option(256, "sequences of a global batch, over all replicas")
    stages: str = option(
        "",
        "depths to stack through, each a multiple of the one before, with their shares of the "
        "steps, as 3:25%,6:25%,12:50%; the paper: a quarter, a half, all of the layers",
    )
    learning_rate: float = option(1e-4, "highest learning rate of AdamW")
    row_sparse: bool = option(
        False, "not for pre-training, where every row of the word embeddings has a gradient"
    )
    ema_decay: float = option(0.0, "not for pre-training")
    mask_rate: float = option(DEFAULT_MASK_RATE, "share of the word pieces to predict")
    max_predictions: int = option(0, "most of a sequence; 0: what the rate makes of its length")
    whole_words: bool = option(False, "mask all pieces of a word together")
    tlm_share: float = option(
        DEFAULT_TLM_SHARE, "of the sequences, translation pairs in one; the rest is text"
    )
    logits_mb: int = option(DEFAULT_CHUNK_BYTES // MEGABYTE, "most memory for logits, MB")
    evaluate_every: int = option(500, "steps between measurements of the held-out text")

    def __post_init__(self):
        super().__post_init__()
        if self.row_sparse or self.ema_decay:
            raise ValueError(
                f"`row_sparse` (={self.row_sparse}) and `ema_decay` (={self.ema_decay}) are for "
                "translation ranking, not for pre-training. Leave them out."
            )
        if not 0 < self.mask_rate < 1:
            raise ValueError(f"`mask_rate` (={self.mask_rate}) must be above 0 and below 1.")
        if not 0 <= self.tlm_share <= 1:
            raise ValueError(f"`tlm_share` (={self.tlm_share}) must be from 0 to 1.")
        self._check_least(("max_predictions",), 0)
        self._check_least(("evaluate_every", "logits_mb"), 1)
        depths = [stage.num_layers for stage in self.parsed_stages]
        if any(not a or b % a for a, b in itertools.pairwise(depths)):
            raise ValueError(
                f"Each depth of `stages` (={self.stages!r}) must be a multiple of the one before, "
                "whose layers it is stacked from."
            )
