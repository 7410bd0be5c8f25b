"""How to train: TrainingConfig, and what translation ranking and pre-training add to it."""

from __future__ import annotations

import dataclasses
import itertools
import math

from labse_tf.data.masked_text import DEFAULT_TLM_SHARE
from labse_tf.data.masking import DEFAULT_MASK_RATE
from labse_tf.encoder.precision import WITH_FLOAT16
from labse_tf.losses.masked_language_model import DEFAULT_CHUNK_BYTES
from labse_tf.losses.ranking import DEFAULT_MARGIN, DEFAULT_SCALE
from labse_tf.optimizers.schedules import WarmupLinearDecay
from labse_tf.training.options import option
from labse_tf.training.stages import Stage, parse_stages

MEGABYTE = 2**20


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How long to train, with which optimizer and data order, and what to keep.

    Raises:
        ValueError: a field is out of its range; the message names field and value.
    """

    steps: int = option(10_000, "updates, each of a global batch")
    batch_size: int = option(256, "rows of a global batch, over all replicas")
    stages: str = option(
        "", "numbers of layers to grow through, with their shares of the steps: 0:20%,6:80%"
    )
    learning_rate: float = option(5e-5, "highest learning rate")
    warmup_steps: int = option(
        100,
        "steps at the start of each stage in which the learning rate rises; then it falls, to 0 at "
        "the end of the run",
    )
    weight_decay: float = option(
        0.01, "decoupled weight decay (AdamW); not of biases and layer normalisations"
    )
    clip_norm: float = option(1.0, "highest global norm of the gradient; 0: no clipping")
    precision: str = option(
        "float32",
        "dtype of matmuls and activations: float32; bfloat16; or float16 with loss scaling, for "
        "GPUs without bfloat16",
    )
    exponent: float = option(1.0, "a file of n rows is sampled in proportion to n**exponent")
    shuffle_buffer: int = option(200_000, "rows in the shuffle buffer")
    static_width: bool = option(False, "pad every batch to the sequence length, as TPUs need")
    jit_compile: bool = option(
        False, "compile the step with XLA, for a GPU; needs static_width. On TPUs it always is"
    )
    steps_per_execution: int = option(
        1, "steps between looks at the figures, for a TPU or GPU that is faster than Python"
    )
    seed: int = option(0, "random seed of the order of the data and of dropout")
    checkpoint_every: int = option(500, "steps between checkpoints")
    keep_checkpoints: int = option(3, "newest checkpoints to keep")
    report_every: int = option(50, "steps between reports, whose figures are means over them")
    evaluate_every: int = option(500, "steps between measurements on held-out data")

    def __post_init__(self):
        self._check_least(("steps", "warmup_steps", "weight_decay", "clip_norm"), 0)
        every = ("checkpoint_every", "report_every", "evaluate_every")
        self._check_least((*every, "keep_checkpoints", "shuffle_buffer", "steps_per_execution"), 1)
        self._check_least(("batch_size",), 2)
        self._check_above_0("learning_rate")
        if self.precision not in WITH_FLOAT16:
            raise ValueError(f"`precision` (={self.precision!r}) must be one of {WITH_FLOAT16}.")
        if self.jit_compile and not self.static_width:
            raise ValueError(
                f"`jit_compile` (={self.jit_compile}) needs the same shapes in every step: set "
                f"`static_width` (={self.static_width}) too."
            )
        self._check_multiples(every)
        shortest = min(stage.steps for stage in self.parsed_stages)
        if self.steps and self.warmup_steps >= shortest:
            raise ValueError(
                f"`warmup_steps` (={self.warmup_steps}) must be below "
                + ("the steps of every stage" if self.stages else "`steps`")
                + f" (={shortest})."
            )

    @property
    def parsed_stages(self) -> list[Stage]:
        """The stages; one that keeps the encoder's depth if `stages` is empty."""
        return parse_stages(self.stages, self.steps)

    def schedule(self, stage: Stage) -> WarmupLinearDecay:
        """The learning rate, by the steps of a stage."""
        warmup_steps = self.warmup_steps if self.steps else 0  # 0 steps: the run is only started
        return WarmupLinearDecay(
            self.learning_rate, warmup_steps, max(self.steps, 1), first=stage.first
        )

    def _check_multiples(self, every: tuple[str, ...]) -> None:
        """Between executions alone a step can be reported, measured, saved."""
        several = self.steps_per_execution
        intervals = {f"`{name}`": getattr(self, name) for name in every}
        parts = {f"the steps of {s.name or 'the run'}": s.steps for s in self.parsed_stages}
        for name, value in {**intervals, **parts}.items():
            if value % several:
                raise ValueError(
                    f"{name} (={value}) must be a multiple of `steps_per_execution` (={several})."
                )

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

    steps: int = option(
        10_000, "updates, each of a global batch", paper="50,000", model_garden="500,000"
    )
    batch_size: int = option(
        256, "pairs of a global batch, over all replicas", paper="4,096", model_garden="4,096"
    )
    learning_rate: float = option(
        5e-5, "highest learning rate of AdamW", paper="1e-3", model_garden="1e-4"
    )
    warmup_steps: int = option(
        100,
        "steps at the start of each stage in which the learning rate rises; then it falls, to 0 at "
        "the end of the run",
        model_garden="5,000",
    )
    weight_decay: float = option(
        0.01,
        "decoupled weight decay (AdamW); not of biases and layer normalisations",
        model_garden=0,
    )
    clip_norm: float = option(
        1.0, "highest global norm of the gradient; 0: no clipping", model_garden=100
    )
    shuffle_buffer: int = option(200_000, "rows in the shuffle buffer", model_garden="1,000")
    ema_decay: float = option(
        0.0,
        "decay per step of a moving average of the weights after each step, which becomes the "
        "result; 0: none",
    )
    embedding_rate_factor: float = option(
        1.0, "factor of the learning rate for token embeddings; needs row-sparse updates"
    )
    row_sparse: bool | None = option(
        None,
        "update only the rows of the word embeddings that occur in a batch, which static_width "
        "cannot; None: if it can",
    )
    margin: float = option(
        DEFAULT_MARGIN, "subtracted from a pair's cosine", paper=0.3, model_garden=0.3
    )
    scale: float = option(
        DEFAULT_SCALE,
        "factor of the cosines: the inverse temperature of the softmax",
        model_garden=100,
    )
    bidirectional: bool = option(True, "rank the sources of a target as well; in the paper too")
    mask_duplicates: bool = option(
        True,
        "leave equal sentences, and other translations that the batch has, out of the negatives",
    )
    hard_negatives: int = option(
        0, "hard negatives of a pair: columns after the target, not translations of the source"
    )
    chunk_size: int = option(
        0, "most pairs of a replica embedded at a time, by gradient caching; 0: the whole batch"
    )
    freeze_embeddings: bool = option(
        False, "do not train the embeddings of words, positions, types"
    )
    freeze_layers: int = option(0, "lowest transformer layers that are not trained")
    patience: int = option(
        0,
        "measurements without a new best after which the run, or with stages the stage, ends with "
        "its best weights; 0: never",
    )

    def __post_init__(self):
        super().__post_init__()
        self._check_least(
            ("margin", "hard_negatives", "chunk_size", "freeze_layers", "patience", "ema_decay"), 0
        )
        self._check_above_0("scale", "embedding_rate_factor")
        if not self.ema_decay < 1:
            raise ValueError(f"`ema_decay` (={self.ema_decay}) must be below 1.")
        if self.row_sparse and self.static_width:
            raise ValueError(
                f"`row_sparse` (={self.row_sparse}) updates as many rows as occur, which "
                f"`static_width` (={self.static_width}) does not allow. Leave out one of them."
            )
        if self.embedding_rate_factor != 1 and not self.updates_rows:
            raise ValueError(
                f"`embedding_rate_factor` (={self.embedding_rate_factor}) needs row-sparse updates "
                "of the token embeddings: leave out `row_sparse` and `static_width`."
            )

    @property
    def updates_rows(self) -> bool:
        """Whether only the rows of the word embeddings that occur in a batch are updated."""
        return not self.static_width if self.row_sparse is None else self.row_sparse


@dataclasses.dataclass(frozen=True)
class PretrainingConfig(TrainingConfig):
    """How to pre-train; the program's flags are these fields.

    Raises:
        ValueError: a field is out of its range; the message names field and value.
    """

    steps: int = option(10_000, "updates, each of a global batch", paper="3,000,000")
    batch_size: int = option(256, "sequences of a global batch, over all replicas", paper="8,192")
    stages: str = option(
        "",
        "numbers of layers to stack through, each a multiple of the one before, with their shares "
        "of the steps: 3:25%,6:25%,12:50%",
        paper="a quarter, a half, all of the layers, for 400,000, 800,000 and 1,800,000 steps",
    )
    learning_rate: float = option(1e-4, "highest learning rate of AdamW")
    mask_rate: float = option(DEFAULT_MASK_RATE, "share of the word pieces to predict", paper=0.2)
    max_predictions: int = option(
        0, "most word pieces to predict in a sequence; 0: mask_rate times its length", paper=80
    )
    whole_words: bool = option(False, "mask all pieces of a word together")
    tlm_share: float = option(
        DEFAULT_TLM_SHARE,
        "share of the sequences that are translation pairs (TLM); the rest is MLM",
    )
    logits_mb: int = option(
        DEFAULT_CHUNK_BYTES // MEGABYTE, "most memory for the logits of a replica, MiB"
    )

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.mask_rate < 1:
            raise ValueError(f"`mask_rate` (={self.mask_rate}) must be above 0 and below 1.")
        if not 0 <= self.tlm_share <= 1:
            raise ValueError(f"`tlm_share` (={self.tlm_share}) must be from 0 to 1.")
        self._check_least(("max_predictions",), 0)
        self._check_least(("logits_mb",), 1)
        depths = [stage.num_layers for stage in self.parsed_stages]
        if any(not a or b % a for a, b in itertools.pairwise(depths)):
            raise ValueError(
                f"Each depth of `stages` (={self.stages!r}) must be a multiple of the one before, "
                "whose layers it is stacked from."
            )
