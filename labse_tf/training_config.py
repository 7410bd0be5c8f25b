"""TrainingConfig: what pre-training and translation ranking are told alike."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from labse_tf.stages import parse_stages
from labse_tf.weights import PRECISIONS


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
