"""All settings of the experiment, in one place."""

from __future__ import annotations

import dataclasses

from labse_tf.training.config import option


@dataclasses.dataclass(frozen=True)
class Options:
    """What is mined and compared; the program's flags are these fields.

    Raises:
        ValueError: a field is out of its range; the message names field and value.
    """

    languages: str = option(
        "deu:0.5,cmn:0.75",
        "languages, and of each the share of its Tatoeba pairs that is half B, torn apart and "
        "mined; the encoder may learn from the rest",
    )
    encoder_steps: int = option(8000, "training steps of the encoder that mines")
    amounts: str = option(
        "0.5,0.75,1",
        "how many of the pairs mined by margin are translated from, best first, as shares of the "
        "number of true pairs; the other ways give as many as 1",
    )
    ngram_dimensions: int = option(
        2048, "of the character n-grams' embeddings, which they are hashed into"
    )
    seed: int = option(0, "of the halves, of what is torn and of the models")

    def __post_init__(self):
        if not self.shares or not all(0 < share < 1 for share in self.shares.values()):
            raise ValueError(f"`languages` (={self.languages!r}) must be as deu:0.5,cmn:0.75.")
        if 1.0 not in self.parsed_amounts or min(self.parsed_amounts) <= 0:
            raise ValueError(f"`amounts` (={self.amounts!r}) must be above 0, and 1 among them.")

    @property
    def shares(self) -> dict[str, float]:
        """Language code to the share of half B."""
        parts = [part.partition(":") for part in self.languages.split(",")]
        return {code.strip(): float(share or 0) for code, _, share in parts}

    @property
    def parsed_amounts(self) -> list[float]:
        """Ascending."""
        return sorted(float(amount) for amount in self.amounts.split(","))


@dataclasses.dataclass(frozen=True)
class TranslationConfig:
    """How a translation model is trained: the same for all pairs it is trained on.

    One model translates both ways: the first piece of a source names the language to translate to.
    """

    vocab_size: int = option(4000, "sentence pieces of both languages")
    hidden_size: int = option(128, "width")
    num_layers: int = option(2, "layers of the encoder, and of the decoder")
    intermediate_size: int = option(512, "width of the feed-forward layers")
    num_heads: int = option(4, "attention heads")
    dropout: float = option(0.1, "of embeddings, attention and layers")
    steps: int = option(2500, "updates")
    batch_size: int = option(128, "sentences of a batch, half of them in each direction on average")
    learning_rate: float = option(2e-3, "highest learning rate of Adam")
    warmup_steps: int = option(400, "in which the learning rate rises; then it falls to 0")
    max_length: int = option(48, "pieces of a sentence; longer ones are cut")
    beam_size: int = option(4, "hypotheses of the beam search")
    checkpoint_every: int = option(500, "steps between checkpoints")
    report_every: int = option(250, "steps between reports")

    def __post_init__(self):
        for name in ("steps", "batch_size", "num_layers", "beam_size", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be at least 1.")
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"`hidden_size` (={self.hidden_size}) must be a multiple of `num_heads` "
                f"(={self.num_heads})."
            )
