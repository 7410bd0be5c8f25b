"""Experiment: the stages, each of which reads what the last one wrote, and writes its own, whole.

WORKDIR/config.json                      the settings: started again, it must have the same
WORKDIR/corpora/LANGUAGE/                see `corpus`
WORKDIR/encoder/                         of training.labse_mini's recipe, without what is held out
WORKDIR/mined/LANGUAGE/RUN.tsv           the pairs of a run, and all.json: precision and recall
WORKDIR/translated/LANGUAGE/RUN/         checkpoints, hypotheses and scores.json
WORKDIR/report/                          results.json, table.md and plot.png
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import shlex
import time
from collections.abc import Callable, Sequence
from typing import Any

import labse_tf
from labse_tf.evaluation.results import write_json
from labse_tf.files.atomic import atomic_directory
from labse_tf.files.locks import lock_directory
from labse_tf.training.output import say
from labse_tf.training.run_directory import RUN_FILE, compare_with_run
from training.experiments.translation import corpus, ways
from training.experiments.translation.report import write_report
from training.experiments.translation.scoring import device_name, translate_and_score
from training.experiments.translation.settings import Options, TranslationConfig
from training.experiments.translation.transformer import Translator
from training.labse_mini.settings import Settings
from training.labse_mini.stages import MiniRecipe

_ROUND = 4  # decimals in all.json's curve


class Experiment:
    """The experiment in a working directory.

    Args:
        data: directory of train/, train2/, train-x/ and eval/; empty where the stages that read it
            are finished.
        workdir: to work in.
        options: what is mined and compared.
        config: of the translation models.
        recipe: of the encoder; its number of steps is that of `options`.
        command: how the program was called.

    Raises:
        FileNotFoundError, ValueError: something is missing, or `workdir` is of other settings.
    """

    def __init__(
        self,
        data: str,
        workdir: str,
        options: Options,
        config: TranslationConfig,
        recipe: Settings,
        command: Sequence[str],
    ):
        self._data, self._workdir = data, workdir
        self._options, self._config, self._recipe = options, config, recipe
        self._command = shlex.join(command)
        self.stages: dict[str, Callable[[], None]] = {
            "corpora": self._corpora,
            "encoder": self._encoder,
            "mined": self._mine,
            "translated": self._translate,
            "report": self._report,
        }

    def run(self, last: str) -> None:
        """Runs the stages that are not finished, up to `last`; an interrupted one goes on."""
        self._start()
        for name, stage in self.stages.items():
            stage()
            if name == last:
                return

    def _start(self) -> None:
        settings = {
            "options": dataclasses.asdict(self._options),
            "translation": dataclasses.asdict(self._config),
        }
        system = {"labse_tf": labse_tf.__version__, "python": platform.python_version()}
        run = {
            "experiment": "training.experiments.translation",
            "settings": settings,
            "system": system,
        }
        compare_with_run(self._workdir, run)
        path = self._path(RUN_FILE)
        if not os.path.exists(path):
            corpus.check_corpora(self._data, list(self._options.shares))
            os.makedirs(self._workdir, exist_ok=True)
            write_json(run, path)

    def _corpora(self) -> None:
        for language, share in self._options.shares.items():
            folder = self._path("corpora", language)
            if not os.path.exists(folder):
                corpus.tear(
                    self._data, language, share, folder, self._config.vocab_size, self._options.seed
                )
            say(f"{language}: {self._counts(language)}")

    def _encoder(self) -> None:
        mined = (self._path("mined", language) for language in self._options.shares)
        if os.path.exists(self._path("encoder", "table")) or all(map(os.path.exists, mined)):
            return
        held_out = [
            sentence
            for language in self._options.shares
            for sentence in corpus.read_lines(self._path("corpora", language, "held_out.txt"))
        ]
        table = dataclasses.replace(self._recipe.table, steps=self._options.encoder_steps)
        settings = dataclasses.replace(self._recipe, table=table)
        MiniRecipe(self._data, self._path("encoder"), settings, held_out).run("table")

    def _mine(self) -> None:
        for language in self._options.shares:
            folder = self._path("mined", language)
            if os.path.exists(folder):
                continue
            of = self._path("corpora", language)
            found = ways.mine_all(
                corpus.read_lines(os.path.join(of, "sources.txt")),
                corpus.read_lines(os.path.join(of, "targets.txt")),
                corpus.read_pairs(os.path.join(of, "true.tsv")),
                self._path("encoder", "table"),
                self._options.ngram_dimensions,
            )
            with atomic_directory(folder) as unfinished:
                self._write_mined(language, found, unfinished)

    def _write_mined(self, language: str, found: dict[str, ways.Mined], folder: str) -> None:
        true = corpus.read_pairs(self._path("corpora", language, "true.tsv"))
        runs = []
        for way, mined in found.items():
            amounts = self._options.parsed_amounts if way == ways.MARGIN else [1.0]
            for amount in amounts:
                best = mined.best(round(amount * len(true)))
                name = f"{way}, {amount:g}".replace(" ", "-").replace(",", "")
                corpus.write_pairs(os.path.join(folder, f"{name}.tsv"), best.pairs)
                threshold = float(best.scores[-1]) if len(best.pairs) else None
                runs.append(
                    {
                        "name": name,
                        "way": way,
                        "amount": amount,
                        "pairs": len(best.pairs),
                        "threshold": threshold,
                        "precision": best.precision,
                        "recall": best.recall,
                    }
                )
        corpus.write_pairs(os.path.join(folder, "true.tsv"), true)
        facts = {"pairs": len(true), "threshold": None, "precision": 1.0, "recall": 1.0}
        runs.append({"name": "true", "way": ways.TRUE, "amount": 1.0, **facts})
        curves = {
            way: [
                [round(part.precision, _ROUND), round(part.recall, _ROUND)]
                for share in range(1, 51)
                if (part := mined.best(len(mined.pairs) * share // 50)).pairs
            ]
            for way, mined in found.items()
        }
        write_json({"runs": runs, "curves": curves}, os.path.join(folder, "all.json"))
        for run in runs:
            say(f"{language}: {run}")

    def _translate(self) -> None:
        """Trains what is not trained; of several processes, each what no other does."""
        elsewhere = []
        for language in self._options.shares:
            for run in self._mined(language)["runs"]:
                folder = self._path("translated", language, run["name"])
                try:
                    with lock_directory(folder, "trains"):
                        if not os.path.exists(os.path.join(folder, "scores.json")):
                            say(f"{language}, {run['name']}: {run['pairs']:,} pairs")
                            self._translate_run(language, run["name"], folder)
                except BlockingIOError:
                    elsewhere.append(f"{language} {run['name']}")
        if elsewhere:
            raise BlockingIOError(
                f"Other processes train {', '.join(elsewhere)}. Start this again when they are "
                "done, for the report."
            )

    def _translate_run(self, language: str, name: str, folder: str) -> None:
        of = self._path("corpora", language)
        translator = Translator(os.path.join(of, "pieces.model"), self._config, self._options.seed)
        begin = time.monotonic()
        translator.train(corpus.read_pairs(self._path("mined", language, f"{name}.tsv")), folder)
        test = corpus.read_pairs(os.path.join(of, "test.tsv"))
        scores: dict[str, Any] = translate_and_score(translator, test, language, folder)
        scores |= {"seconds": time.monotonic() - begin, "device": device_name()}
        write_json(scores, os.path.join(folder, "scores.json"))

    def _report(self) -> None:
        results = {
            "command": self._command,
            "options": dataclasses.asdict(self._options),
            "translation": dataclasses.asdict(self._config),
            "languages": {
                language: {
                    "counts": self._counts(language),
                    **self._mined(language),
                    "scores": {
                        run["name"]: self._read("translated", language, run["name"], "scores.json")
                        for run in self._mined(language)["runs"]
                    },
                }
                for language in self._options.shares
            },
        }
        say(write_report(results, self._path("report")))

    def _counts(self, language: str) -> dict:
        return self._read("corpora", language, "counts.json")

    def _mined(self, language: str) -> dict:
        return self._read("mined", language, "all.json")

    def _read(self, *parts: str) -> dict:
        with open(self._path(*parts), encoding="utf-8") as file:
            return json.load(file)

    def _path(self, *parts: str) -> str:
        return os.path.join(self._workdir, *parts)
