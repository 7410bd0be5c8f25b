"""Pre-training against parallel data: python -m training.experiments.pretraining --help"""

import dataclasses
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from labse_tf import LaBSE
from labse_tf.commands.flags import run_program
from labse_tf.training.config import PretrainingConfig, option
from labse_tf.training.fine_tuning import fine_tune
from labse_tf.training.pretraining import pretrain
from training.experiments.comparison import DATA, ENCODER, TRAINING, Comparison
from training.experiments.data import draw_pairs
from training.experiments.runs import Run
from training.experiments.timing import seconds_per_step

DESCRIPTION = (
    "Translation ranking on parts of the pairs, from a pre-trained encoder and from a random one "
    "(arXiv 2007.01852, “Effectiveness of Pre-training”: with it a fifth of the pairs is enough): "
    "for as many ranking steps, and, without pre-training, for as long as pre-training and ranking "
    "take together. The text of the pre-training is both sides of all pairs, shuffled apart, so "
    "that it holds nothing of which sentences belong together; translation language modelling has "
    "the pairs of the run's part alone. How long a step of each takes is measured before."
)


@dataclasses.dataclass(frozen=True)
class Options:
    """The experiment's own flags."""

    amounts: str = option("1,5,20,100", "parts of the pairs, in percent")
    pretraining_steps: int = option(1000, "steps of a pre-training")
    pretraining_batch_size: int = option(64, "sequences of a batch, each full of text")
    pretraining_learning_rate: float = option(2e-3, "highest learning rate")
    mask_rate: float = option(0.25, "share of the word pieces to predict", paper=0.2)
    tlm_share: float = option(
        0.5,
        "of the sequences, pairs in one (TLM); above 0 there is a pre-training for each amount, "
        "on its own pairs, else one for all",
    )
    pretrained_learning_rate: float = option(
        4e-3, "highest learning rate of the ranking behind a pre-training"
    )
    timed_steps: int = option(200, "steps of either to measure the time of one with")


def main(arguments: list[str] | None = None) -> None:
    comparison = Comparison(
        arguments,
        "training.experiments.pretraining",
        DESCRIPTION,
        Options,
        dataclasses.replace(TRAINING, steps=200, learning_rate=4e-3),
        fixed=["stages"],
        encoder=dataclasses.replace(ENCODER, num_layers=2),
        data=dataclasses.replace(DATA, seq_length=32),  # of both sides of a pair
    )
    training, options = comparison.training, comparison.options
    amounts = [float(amount) for amount in options.amounts.split(",")]
    if not all(0 < amount <= 100 for amount in amounts):
        raise ValueError(f"`amounts` (={options.amounts!r}) must be above 0 and at most 100.")

    def pairs(amount: float, seed: int) -> list[str]:
        folder = os.path.join(comparison.workdir, "parts", f"{amount:g}%", f"seed-{seed}")
        return draw_pairs(comparison.pairs, folder, lambda n: max(1, round(n * amount / 100)), seed)

    def pretrained(
        amount: float, seed: int, steps: int = options.pretraining_steps, folder: str = ""
    ) -> LaBSE:
        config = PretrainingConfig(
            steps=steps,
            batch_size=options.pretraining_batch_size,
            learning_rate=options.pretraining_learning_rate,
            warmup_steps=min(training.warmup_steps, steps - 1),
            mask_rate=options.mask_rate,
            tlm_share=options.tlm_share,
            exponent=training.exponent,
            precision=training.precision,
            checkpoint_every=steps,
            keep_checkpoints=training.keep_checkpoints,
            report_every=training.report_every,
            seed=seed,
        )
        of_amount = [f"{amount:g}%"] if options.tlm_share else []
        folder = folder or os.path.join(
            comparison.workdir, "pretraining", *of_amount, f"seed-{seed}"
        )
        tlm_pairs = pairs(amount, seed) if options.tlm_share else []
        return pretrain(comparison.new_model(seed), comparison.pairs, tlm_pairs, config, folder)

    def rank(steps: int, folder: str) -> None:
        config = dataclasses.replace(training, steps=steps, warmup_steps=0, checkpoint_every=steps)
        fine_tune(comparison.new_model(training.seed), comparison.pairs, config, folder)

    seconds = comparison.kept(
        "seconds-per-step.json",
        lambda: {
            "pre-training": seconds_per_step(
                lambda steps, folder: pretrained(100, training.seed, steps, folder),
                options.timed_steps,
            ),
            "ranking": seconds_per_step(rank, options.timed_steps),
        },
    )
    more = options.pretraining_steps * seconds["pre-training"] / seconds["ranking"]
    longer = dataclasses.replace(training, steps=training.steps + round(more))
    behind = dataclasses.replace(training, learning_rate=options.pretrained_learning_rate)
    without, as_long = "without pre-training", f"without, as long: {longer.steps:,} steps"
    runs = [
        Run(
            f"{amount:g}% of the pairs, {line}",
            config,
            start and (lambda seed, amount=amount: pretrained(amount, seed)),
            lambda seed, amount=amount: pairs(amount, seed),
            against="" if line == without else f"{amount:g}% of the pairs, {without}",
            line=line,
            x=amount,
        )
        for line, config, start in (
            (without, training, None),
            ("with pre-training", behind, pretrained),
            (as_long, longer, None),
        )
        for amount in amounts
    ]
    comparison.compare(runs, x_label="percent of the pairs", log_x=True)


if __name__ == "__main__":
    run_program(main)
