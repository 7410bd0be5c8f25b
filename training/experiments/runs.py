"""Run and Measuring: one model of an experiment, trained and measured, or read back."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import tf_keras

from labse_tf.evaluation import Tatoeba
from labse_tf.evaluation.results import failures, measure, write_json
from labse_tf.inference.model import LaBSE
from labse_tf.losses.ranking import AdditiveMarginRankingLoss
from labse_tf.training.config import FineTuningConfig
from labse_tf.training.fine_tuning import Loss, fine_tune
from labse_tf.training.output import say


@dataclasses.dataclass(frozen=True)
class Run:
    """One kind of run, of which there is one for each seed.

    Args:
        name: short, unlike the others'.
        training: how it is trained; the seed is replaced.
        start: from a seed to the model that is trained; by default a new one. Called anew for
            each run, it must give the same weights for the same seed.
        pairs: from a seed to files of pairs; by default those of the comparison.
        loss: what ranks the pairs.
        against: name of the run that this one is compared with, seed by seed; "": none.
        line: runs of one `line` are joined in the plot, at their places `x`.
        x: None for a plot without such lines.
    """

    name: str
    training: FineTuningConfig
    start: Callable[[int], LaBSE] | None = None
    pairs: Callable[[int], Sequence[str]] | None = None
    loss: Loss = AdditiveMarginRankingLoss
    against: str = ""
    line: str = ""
    x: float | None = None


class Measuring:
    """Trains a run with a seed, measures it, and keeps what came of it.

    Args:
        folder: of all runs; each has FOLDER/RUN/seed-N, where `fine_tune` resumes it.
        evaluation: the Tatoeba test, its languages named.
        tatoeba: its directory; None for the files in labse_tf.
        command: of the experiment.
    """

    def __init__(self, folder: str, evaluation: Tatoeba, tatoeba: str | None, command: str):
        self._folder, self._evaluation = folder, evaluation
        self._tatoeba, self._command = tatoeba, command

    def __call__(
        self,
        run: Run,
        seed: int,
        new_model: Callable[[int], LaBSE],
        pairs: Sequence[str],
    ) -> dict[str, Any]:
        """What was measured, from its file if it is there.

        Args:
            run: which.
            seed: of weights, order and dropout.
            new_model, pairs: for a run that has none of its own.
        """
        folder = os.path.join(self._folder, re.sub(r"[^\w.]+", "-", run.name), f"seed-{seed}")
        path = os.path.join(folder, "tatoeba.json")
        if not os.path.exists(path):
            say(f"{run.name}, seed {seed}")
            tf_keras.backend.clear_session()
            gc.collect()
            begun = time.monotonic()
            files = run.pairs(seed) if run.pairs else pairs
            model = (run.start or new_model)(seed)
            start_seconds = round(time.monotonic() - begun, 1)
            write_json(self._trained(run, seed, model, files, folder, start_seconds), path)
        with open(path, encoding="utf-8") as file:
            result = json.load(file)
        figures = result["benchmarks"][0]["figures"]
        accuracies = {code: figures[f"{code}/accuracy"] for code in self._evaluation.languages}
        return {
            "seed": seed,
            "accuracy": sum(accuracies.values()) / len(accuracies),
            "languages": accuracies,
            "seconds": result["model"]["seconds"],
            "start_seconds": result["model"]["start_seconds"],
            "date": result["date"],
            "system": result["system"],
        }

    def _trained(
        self,
        run: Run,
        seed: int,
        model: LaBSE,
        files: Sequence[str],
        folder: str,
        start_seconds: float,
    ) -> dict[str, Any]:
        interrupted, begun = os.path.exists(folder), time.monotonic()
        config = dataclasses.replace(run.training, seed=seed)
        model = fine_tune(model, files, config, folder, loss=run.loss)
        seconds = None if interrupted else round(time.monotonic() - begun, 1)
        name = f"{run.name}, seed {seed}"
        result = measure(
            lambda sentences: model.encode(sentences, show_progress=False),
            [(self._evaluation, self._tatoeba)],
            model={
                "name": name,
                "fingerprint": model.fingerprint(),
                "seconds": seconds,
                "start_seconds": start_seconds,
            },
            command=self._command,
        )
        if failed := failures(result):
            raise ValueError(f"{name}, could not be measured: {'; '.join(failed)}")
        return result
