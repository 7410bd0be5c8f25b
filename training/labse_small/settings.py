"""All settings of the recipe."""

from __future__ import annotations

import dataclasses

from labse_tf.training.config import FineTuningConfig
from training.labse_mini.settings import DataSettings

_RANKING = FineTuningConfig(
    steps=4000,
    batch_size=512,
    learning_rate=1.5e-4,
    embedding_rate_factor=7.0,
    warmup_steps=100,
    weight_decay=0.01,
    clip_norm=1.0,
    margin=0.1,
    scale=30.0,
    exponent=0.35,
    precision="bfloat16",
    checkpoint_every=200,
    keep_checkpoints=2,
    report_every=50,
)


@dataclasses.dataclass(frozen=True)
class VocabularySettings:
    """Which pieces of the initial model are retained.

    Attributes:
        size: Number of pieces chosen by their frequency, beside all single characters of the text.
        exponent: A language of n tokens counts as n**exponent: below 1, small languages get more
            pieces than their share of the text.
    """

    size: int = 120_000
    exponent: float = 0.4


@dataclasses.dataclass(frozen=True)
class Settings:
    """The whole recipe.

    Attributes:
        data: What is trained on.
        vocabulary: Which pieces are retained.
        seq_length: Longest sentence in tokens.
        ranking: How the model is trained.
    """

    data: DataSettings = dataclasses.field(default_factory=DataSettings)
    vocabulary: VocabularySettings = VocabularySettings()
    seq_length: int = 64
    ranking: FineTuningConfig = _RANKING
