"""Pre-training against parallel data: python -m training.experiments.pretraining --help"""

import dataclasses
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from labse_tf import LaBSE
from labse_tf.commands.flags import run_program
from labse_tf.training.config import PretrainingConfig, option
from labse_tf.training.pretraining import pretrain
from training.experiments.comparison import TRAINING, Comparison
from training.experiments.data import draw_pairs
from training.experiments.runs import Run

DESCRIPTION = (
    "Translation ranking on parts of the pairs, from a pre-trained encoder and from a random one "
    "(arXiv 2007.01852, “Effectiveness of Pre-training”: with it a fifth of the pairs is enough). "
    "All runs of a seed have the same ranking steps. The text of the pre-training is both sides of "
    "all pairs, shuffled apart, so that it holds nothing of which sentences belong together; "
    "translation language modelling, if any, has the pairs of the run's part alone. "
    "Pre-training takes time on top, which the table does not count."
)


@dataclasses.dataclass(frozen=True)
class Options:
    """The experiment's own flags."""

    amounts: str = option("1,5,20,100", "parts of the pairs, in percent")
    pretraining_steps: int = option(2000, "steps of the pre-training, once a seed")
    pretraining_batch_size: int = option(128, "sequences of a batch, each full of text")
    pretraining_learning_rate: float = option(1e-3, "highest learning rate")
    tlm_share: float = option(
        0.0,
        "of the sequences, pairs in one (TLM); above 0 there is a pre-training for each amount, "
        "on its own pairs",
    )


def main(arguments: list[str] | None = None) -> None:
    comparison = Comparison(
        arguments,
        "training.experiments.pretraining",
        DESCRIPTION,
        Options,
        dataclasses.replace(TRAINING, steps=500),
        fixed=["stages"],
    )
    training, options = comparison.training, comparison.options
    amounts = [float(amount) for amount in options.amounts.split(",")]
    if not all(0 < amount <= 100 for amount in amounts):
        raise ValueError(f"`amounts` (={options.amounts!r}) must be above 0 and at most 100.")

    def pairs(amount: float, seed: int) -> list[str]:
        folder = os.path.join(comparison.workdir, "parts", f"{amount:g}%", f"seed-{seed}")
        return draw_pairs(comparison.pairs, folder, lambda n: max(1, round(n * amount / 100)), seed)

    def pretrained(amount: float, seed: int) -> LaBSE:
        config = PretrainingConfig(
            steps=options.pretraining_steps,
            batch_size=options.pretraining_batch_size,
            learning_rate=options.pretraining_learning_rate,
            warmup_steps=min(training.warmup_steps, options.pretraining_steps - 1),
            tlm_share=options.tlm_share,
            exponent=training.exponent,
            precision=training.precision,
            checkpoint_every=training.checkpoint_every,
            keep_checkpoints=training.keep_checkpoints,
            report_every=training.report_every,
            seed=seed,
        )
        of_amount = [f"{amount:g}%"] if options.tlm_share else []
        folder = os.path.join(comparison.workdir, "pretraining", *of_amount, f"seed-{seed}")
        tlm_pairs = pairs(amount, seed) if options.tlm_share else []
        return pretrain(comparison.new_model(seed), comparison.pairs, tlm_pairs, config, folder)

    runs = [
        Run(
            f"{amount:g}% of the pairs, {line}",
            training,
            start and (lambda seed, amount=amount: pretrained(amount, seed)),
            lambda seed, amount=amount: pairs(amount, seed),
            line=line,
            x=amount,
        )
        for line, start in (("without pre-training", None), ("with pre-training", pretrained))
        for amount in amounts
    ]
    comparison.compare(
        runs,
        against=f"{max(amounts):g}% of the pairs, without pre-training",
        x_label="percent of the pairs",
        log_x=True,
    )


if __name__ == "__main__":
    run_program(main)
