"""All settings of the recipe."""

from __future__ import annotations

import dataclasses

from labse_tf.training.config import FineTuningConfig
from training.labse_mini.settings import DataSettings, Publication

_RANKING = FineTuningConfig(
    steps=8000,
    batch_size=256,  # 512 pairs of 64 tokens take 17 GB
    learning_rate=1.2e-4,
    embedding_rate_factor=7.0,
    warmup_steps=100,
    weight_decay=0.01,
    clip_norm=1.0,
    margin=0.1,
    scale=30.0,
    exponent=0.35,
    precision="bfloat16",
    checkpoint_every=400,
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


def _publication() -> Publication:
    return Publication(
        asset_path="https://labse-tf.github.io/models/labse-small-1.tar.gz",
        limitations=(
            "It starts from intfloat/multilingual-e5-small (MIT license), which was pre-trained on "
            "about one billion weakly supervised text pairs of mC4, CC News, NLLB, Wikipedia, "
            "Reddit, S2ORC, Stack Exchange and xP3, and fine-tuned on labeled data of MS MARCO, "
            "NQ, TriviaQA, SQuAD, NLI, ELI5, NLLB, DuReader, FEVER, HotpotQA, Quora, Mr. TyDi and "
            "MIRACL (arXiv 2402.05672). Test sets may be among that text.",
            "Much of the training text for translation ranking is of Tatoeba, as is the Tatoeba "
            "test: on other text, and in languages with few pairs, it is weaker than that test "
            "says.",
        ),
    )


@dataclasses.dataclass(frozen=True)
class Settings:
    """The whole recipe.

    Attributes:
        init: The initial model.
        data: What is trained on.
        vocabulary: Which pieces are retained.
        seq_length: Longest sentence in tokens.
        ranking: How the model is trained.
        publication: What the card says about the model.
    """

    init: str = "intfloat/multilingual-e5-small"
    data: DataSettings = dataclasses.field(default_factory=DataSettings)
    vocabulary: VocabularySettings = VocabularySettings()
    seq_length: int = 64
    ranking: FineTuningConfig = _RANKING
    publication: Publication = dataclasses.field(default_factory=_publication)
