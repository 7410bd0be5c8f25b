"""All settings of the recipe, in one place."""

from __future__ import annotations

import dataclasses

from labse_tf.training.config import FineTuningConfig

_TABLE = FineTuningConfig(
    steps=40_000,
    batch_size=2048,
    learning_rate=7e-3,
    warmup_steps=100,
    weight_decay=0.0,
    clip_norm=0.0,
    scale=20.0,
    exponent=0.5,
    checkpoint_every=2000,
    report_every=250,
)
_LAYERS = FineTuningConfig(
    steps=3000,
    batch_size=1024,
    learning_rate=5e-4,
    warmup_steps=100,
    weight_decay=0.0,
    clip_norm=1.0,
    scale=20.0,
    exponent=0.5,
    precision="bfloat16",
    checkpoint_every=500,
    report_every=100,
)


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """What is trained on.

    Attributes:
        dictionary_entries: most of a language; the commonest words come first.
        development_share: of the English sentences, held out of all training.
        copyleft: whether sources under the GPL, AGPL and LGPL stay: to measure what they give,
            never for weights that are given away.
        seed: of the order of pairs.
    """

    dictionary_entries: int = 4000
    development_share: float = 0.02
    copyleft: bool = False
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class VocabularySettings:
    """The word pieces; see `labse_tf.tokenization.vocabulary.learn_vocabulary`."""

    size: int = 100_000
    exponent: float = 0.5
    max_sentences: int = 100_000
    tokenization: str = "hugging-face"


@dataclasses.dataclass(frozen=True)
class Publication:
    """What the card says of where the model is."""

    publisher: str = "labse-tf"
    license: str = "apache-2.0"
    asset_path: str = "https://labse-tf.github.io/models/labse-mini-1.tar.gz"
    limitations: tuple[str, ...] = (
        "It was trained on one machine of two cores, mostly on short everyday sentences. Tatoeba's "
        "test is of the same collection as much of the training data: on other text, and in "
        "languages with few pairs, it is weaker than that test says.",
        "It knows little of word order and negation: sentences of the same words in another order "
        "have nearly the same embedding.",
    )


@dataclasses.dataclass(frozen=True)
class Settings:
    """The whole recipe.

    Attributes:
        seq_length: longest sentence in tokens.
        hidden_size: width.
        reserved_dimensions: Number of first dimensions whose scale in the layer normalization is
            fixed at 0, and at 1 in all others. They are constant in the embeddings; what a token
            has in them takes weight from it, see README.md.
        table: how the word embeddings are trained, without a layer on them.
        num_layers: how many are then grown; 0, since one gave nothing for its time: see README.md.
        layers: how they are trained with the table.
    """

    data: DataSettings = DataSettings()
    vocabulary: VocabularySettings = VocabularySettings()
    seq_length: int = 64
    hidden_size: int = 256
    reserved_dimensions: int = 1
    table: FineTuningConfig = _TABLE
    num_layers: int = 0
    layers: FineTuningConfig = _LAYERS
    publication: Publication = Publication()
