"""The stages that the recipes of the package's models share: data, training, evaluation, card."""

from __future__ import annotations

import abc
import argparse
import glob
import json
import os
from collections.abc import Callable, Sequence
from typing import Any

import labse_tf
from export.model_card import main as model_card
from labse_tf.commands.main import main as labse
from labse_tf.evaluation.benchmarks.tatoeba import LANGUAGES
from labse_tf.files.atomic import atomic_file
from labse_tf.training.config import FineTuningConfig
from training.labse_mini.data import KINDS, prepare
from training.labse_mini.development import means, measure
from training.labse_mini.sources import SHIPPED


class Recipe(abc.ABC):
    """A recipe in a working directory: each stage reads what the last one wrote.

    Args:
        data: Directory of the corpora, see `training.labse_mini.data`.
        workdir: Directory to work in.
        settings: Settings of all stages; has `data` and `publication`.
        held_out: Sentences that no training pair may hold, beside those of the test sets.

    Attributes:
        name: Name of the model.
        stages: The stages by name, in their order.
    """

    name: str

    def __init__(self, data: str, workdir: str, settings: Any, held_out: Sequence[str] = ()):
        self._source, self._workdir, self._settings = data, workdir, settings
        self._held_out = held_out
        self.stages: dict[str, Callable[[], None]] = {
            "data": self._data,
            **self._own_stages(),
            "release": self._release,
            "evaluation": self._evaluation,
            "card": self._card,
        }

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> list[str]:
        """Add the recipe's own flags to a parser; return their names, which are arguments."""
        return []

    @abc.abstractmethod
    def _own_stages(self) -> dict[str, Callable[[], None]]:
        """Return the stages between data and release."""

    @abc.abstractmethod
    def _release(self) -> None:
        """Write the release."""

    def run(self, last: str) -> None:
        """Run the stages that are not finished, up to `last`; an interrupted one is resumed."""
        os.makedirs(self._workdir, exist_ok=True)
        for name, stage in self.stages.items():
            if os.path.exists(self._output(name)):
                print(f"{name}: finished before, {self._output(name)}")
            else:
                print(f"{name}:", flush=True)
                stage()
            if name == last:
                return

    def _output(self, stage: str) -> str:
        """Return the path that a stage writes last."""
        names = {"release": self.name, "evaluation": "evaluation.json"}
        return os.path.join(self._workdir, names.get(stage, stage))

    def _data(self) -> None:
        prepare(self._source, self._output("data"), self._settings.data, self._held_out)

    def _train(self, model: labse_tf.LaBSE, config: FineTuningConfig, stage: str) -> None:
        """Train in a run's directory, in which an interrupted stage is resumed; and measure."""
        pairs = [path for kind in KINDS for path in self._files(kind)]
        run = os.path.join(self._workdir, "runs", stage)
        model = labse_tf.fine_tune(model, pairs, config, run)
        results = measure(model, self._output("data"))
        with atomic_file(os.path.join(self._workdir, f"{stage}.json")) as file:
            json.dump({"means": means(results), "languages": results}, file, indent=1)
        print(", ".join(f"{name} {value:.1%}" for name, value in means(results).items()))
        model.save(self._output(stage))

    def _evaluation(self) -> None:
        """Evaluate on all of eval/, once: settings are chosen on the development pairs."""
        directories = {
            "retrieval": "ntrex",
            "mining": "mining",
            "sts": "sts",
            "senteval": "senteval",
        }
        benchmarks = [
            f"{name}={os.path.join(self._source, 'eval', directory)}"
            for name, directory in directories.items()
        ]
        unfinished = self._output("evaluation") + ".unfinished"
        if os.path.exists(unfinished):
            os.remove(unfinished)
        # Ends the process if a part fails.
        options = ["--name", self.name, "--output", unfinished]
        labse(["evaluate", self._output("release"), "tatoeba", *benchmarks, *options])
        os.rename(unfinished, self._output("evaluation"))

    def _card(self) -> None:
        publication = self._settings.publication
        model_card(
            [
                self._output("release"),
                *("--evaluation", self._output("evaluation")),
                *("--output", self._output("card")),
                *("--publisher", publication.publisher),
                *("--name", self.name),
                *("--license", publication.license),
                *("--asset-path", publication.asset_path),
                *("--languages", *LANGUAGES),
                *("--dataset", *(f"{s.title} ({s.licence}, {s.url})" for s in SHIPPED)),
                "--test-sets-excluded",
                *("--limitation", *publication.limitations),
                *("--pages", "tf-hub", "kaggle", "hugging-face"),
            ]
        )

    def _files(self, kind: str) -> list[str]:
        return sorted(glob.glob(os.path.join(self._output("data"), kind, "*.tsv-*")))


def run_recipe(
    recipe: type[Recipe], settings: Any, description: str, arguments: list[str] | None
) -> None:
    """Run a recipe as a program.

    Args:
        recipe: Class of the recipe.
        settings: Settings of all stages.
        description: What the program does, for its help.
        arguments: Command line; None: that of the process.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m training.{recipe.name.replace('-', '_')}", description=description
    )
    parser.add_argument(
        "--data", required=True, help="directory with train, train2, train-x and eval"
    )
    parser.add_argument("--workdir", required=True, help="directory to work in")
    stages = list(recipe("", "", settings).stages)
    parser.add_argument(
        "--until", choices=stages, default=stages[-1], help=f"last stage (default: {stages[-1]})"
    )
    recipe_arguments = recipe.add_arguments(parser)
    flags = parser.parse_args(arguments)
    options = {name: getattr(flags, name) for name in recipe_arguments}
    recipe(flags.data, flags.workdir, settings, **options).run(flags.until)
