"""Comparison: runs that differ in one thing, from the same starts, on the same pairs.

WORKDIR/config.json         the experiment's settings: started again, it must have the same
WORKDIR/vocab.txt           learned from the pairs
WORKDIR/pairs/              the pairs that are trained on, a file a language
WORKDIR/runs/RUN/seed-N/    of `fine_tune`; tatoeba.json has what was measured
WORKDIR/report/             results.json, table.md and plot.png, all of them or none
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import shlex
import sys
from collections.abc import Callable, Sequence

import tensorflow as tf
import tf_keras

import labse_tf
from labse_tf.commands.flags import add_flags, from_flags
from labse_tf.data.pair_files import read_columns
from labse_tf.evaluation import Tatoeba
from labse_tf.evaluation.results import write_json
from labse_tf.files.checksums import checksum
from labse_tf.tokenization.choices import WORDPIECE_FILE
from labse_tf.tokenization.vocabulary import learn_vocabulary, write_vocabulary
from labse_tf.training.config import FineTuningConfig
from labse_tf.training.output import say
from labse_tf.training.run_directory import RUN_FILE, compare_with_run
from labse_tf.training.strategy import choose_strategy
from training.experiments.data import Data, draw_pairs, files_of
from training.experiments.report import check_plotting, write_report
from training.experiments.runs import Measuring, Run

# Small enough for dozens of trainings, three of each kind, in an hour.
ENCODER = labse_tf.EncoderConfig.small(
    vocab_size=16_000,
    hidden_size=128,
    num_layers=1,
    intermediate_size=512,
    dropout=0.0,
    initializer_range=0.05,
)
DATA = Data()
# What the experiments have nothing for: held-out pairs, and files with further columns.
_WITHOUT = ("evaluate_every", "patience", "hard_negatives")
TRAINING = FineTuningConfig(
    steps=600,
    batch_size=256,
    learning_rate=8e-3,
    warmup_steps=30,
    scale=20.0,
    exponent=0.7,
    checkpoint_every=300,
    keep_checkpoints=1,
    report_every=100,
)


class Comparison:
    """Several `Run`s on the same pairs, measured on the Tatoeba test of the same languages.

    Made from a program's command line, it has the vocabulary and the pairs ready. Started again
    in the same directory it goes on where it was, and reads back what is finished.

    Args:
        arguments: of the command line; None for the process' own.
        program: its name behind `python -m`.
        description: what is compared, in the paper and here; and what it costs.
        options: a dataclass, the experiment's own flags; `replicas`, if it is among them, is the
            number of logical CPU devices.
        training: the defaults of the flags of FineTuningConfig.
        fixed: fields of it that the experiment sets itself: they have no flags.
        encoder, data: the defaults of the flags of EncoderConfig and of Data.

    Attributes:
        options: an instance of that dataclass, as given.
        training: as given.
        strategy: to make models in.
        pairs: the files that are trained on.
        workdir: the experiment's.

    Raises:
        FileNotFoundError, ValueError: there are no such pairs, or `workdir` is another
            experiment's.
        ImportError: matplotlib is not installed.
    """

    def __init__(
        self,
        arguments: Sequence[str] | None,
        program: str,
        description: str,
        options: type,
        training: FineTuningConfig = TRAINING,
        fixed: Sequence[str] = (),
        encoder: labse_tf.EncoderConfig = ENCODER,
        data: Data = DATA,
    ):
        parser = argparse.ArgumentParser(
            prog=f"python -m {program}",
            description=description,
            epilog="By default it takes about an hour on one CPU core. WORKDIR/report has the "
            "table, the plot and all figures. Interrupt it when you like: started again with the "
            "same flags, it goes on.",
            allow_abbrev=False,  # --margin, which is fixed, is not --margins
        )
        parser.add_argument("--pairs", required=True, help="directory of <code>-eng.tsv.gz")
        parser.add_argument("--workdir", required=True, help="directory of the experiment")
        add_flags(parser.add_argument_group("what is compared"), options)
        add_flags(parser.add_argument_group("data"), Data, preset=data)
        add_flags(
            parser.add_argument_group("training"),
            FineTuningConfig,
            preset=training,
            without=[*_WITHOUT, *fixed],
        )
        add_flags(parser.add_argument_group("encoder"), labse_tf.EncoderConfig, preset=encoder)
        flags = parser.parse_args(arguments)
        given = from_flags(flags, FineTuningConfig)
        check_plotting()
        self.options = options(**from_flags(flags, options))
        self.training = dataclasses.replace(training, **given)
        self.workdir = flags.workdir
        self.strategy = choose_strategy(getattr(self.options, "replicas", 1))
        self._data = dataclasses.replace(data, **from_flags(flags, Data))
        self._encoder = dataclasses.replace(encoder, **from_flags(flags, labse_tf.EncoderConfig))
        self._command = shlex.join(
            ["python", "-m", program, *(sys.argv[1:] if arguments is None else arguments)]
        )
        self._description = description
        if self._data.seeds < 1:
            raise ValueError(f"`seeds` (={self._data.seeds}) must be at least 1.")
        if self.training.stages:
            first = self.training.parsed_stages[0].num_layers
            self._encoder = dataclasses.replace(self._encoder, num_layers=first)
        self._files = files_of(flags.pairs, self._data.languages)
        self._evaluation = Tatoeba(languages=tuple(self._files))
        self._evaluation.check(self._data.tatoeba or None)
        self._start(program)

    def new_model(
        self,
        seed: int,
        num_layers: int | None = None,
        strategy: tf.distribute.Strategy | None = None,
    ) -> labse_tf.LaBSE:
        """A model with random weights, the same for the same seed; and, of the embeddings, for
        any number of layers, which is that of the flags by default."""
        tf_keras.utils.set_random_seed(seed)
        preprocessor = labse_tf.Preprocessor(self._vocab_file, self._data.seq_length)
        config = dataclasses.replace(self._encoder, vocab_size=preprocessor.vocab_size)
        if num_layers is not None:
            config = dataclasses.replace(config, num_layers=num_layers)
        with (strategy or self.strategy).scope():
            return labse_tf.LaBSE(preprocessor, labse_tf.Encoder(config))

    def kept(self, name: str, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
        """What was measured once in this experiment, from its file `name` if it is there."""
        path = os.path.join(self.workdir, name)
        if not os.path.exists(path):
            write_json(measure(), path)
        with open(path, encoding="utf-8") as file:
            return json.load(file)

    def compare(self, runs: Sequence[Run], x_label: str = "", log_x: bool = False) -> None:
        """Trains and measures all runs, and writes the report.

        Args:
            runs: of different names.
            x_label: of the plot, if the runs have places on it.
            log_x: whether its axis is logarithmic.
        """
        seeds = [self.training.seed + i for i in range(self._data.seeds)]
        measuring = Measuring(
            os.path.join(self.workdir, "runs"),
            self._evaluation,
            self._data.tatoeba or None,
            self._command,
        )
        # Seed by seed: what slows the machine for a while slows all runs.
        measured = {
            (run.name, seed): measuring(run, seed, self.new_model, self.pairs)
            for seed in seeds
            for run in runs
        }
        results = {
            "description": self._description,
            "command": self._command,
            "x_label": x_label,
            "log_x": log_x,
            "seeds": seeds,
            "languages": list(self._files),
            "pairs": self._counts(),
            **self._settings,
            "runs": [
                {
                    "name": run.name,
                    "against": run.against,
                    "line": run.line,
                    "x": run.x,
                    "training": dataclasses.asdict(run.training),
                    "measured": [measured[run.name, seed] for seed in seeds],
                }
                for run in runs
            ],
        }
        say(write_report(results, os.path.join(self.workdir, "report")))

    def _start(self, program: str) -> None:
        """Compares with the experiment in the directory; makes pairs and vocabulary."""
        data = dataclasses.asdict(self._data)
        del data["seeds"]
        settings = {
            "options": dataclasses.asdict(self.options),
            "data": data | {"files": {code: checksum(f) for code, f in self._files.items()}},
            "training": dataclasses.asdict(self.training),
            "encoder": dataclasses.asdict(self._encoder),
        }
        system = {"labse_tf": labse_tf.__version__, "python": platform.python_version()}
        run = json.loads(
            json.dumps({"experiment": program, "settings": settings, "system": system})
        )
        compare_with_run(self.workdir, run)
        path = os.path.join(self.workdir, RUN_FILE)
        if not os.path.exists(path):
            os.makedirs(self.workdir, exist_ok=True)
            write_json(run, path)
        self._settings = settings
        folder = os.path.join(self.workdir, "pairs")
        most = self._data.max_pairs
        self.pairs = draw_pairs(self._files.values(), folder, lambda n: min(n, most or n))
        self._vocab_file = os.path.join(self.workdir, WORDPIECE_FILE)
        if not os.path.exists(self._vocab_file):
            languages = [read_columns(path) for path in self.pairs]
            pieces = learn_vocabulary(languages, self._encoder.vocab_size)
            write_vocabulary(pieces, self._vocab_file)

    def _counts(self) -> dict[str, int]:
        return {
            code: sum(1 for _ in read_columns(path))
            for code, path in zip(self._files, self.pairs, strict=True)
        }
