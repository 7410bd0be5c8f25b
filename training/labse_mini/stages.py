"""The stages of the recipe: each reads what the last one wrote, and writes its own, whole."""

from __future__ import annotations

import glob
import itertools
import json
import os
from collections.abc import Callable, Sequence

import numpy as np
import tf_keras

import labse_tf
from export.model_card import main as model_card
from labse_tf.commands.main import main as labse
from labse_tf.data.pair_files import read_columns
from labse_tf.evaluation.benchmarks.tatoeba import LANGUAGES
from labse_tf.files.atomic import atomic_file
from labse_tf.files.lines import read_lines
from labse_tf.models import NAME
from labse_tf.release.verification import constant_dimensions
from labse_tf.tokenization.vocabulary import learn_vocabulary, write_vocabulary
from labse_tf.training.config import FineTuningConfig
from training.labse_mini.data import KINDS, prepare
from training.labse_mini.development import means, measure
from training.labse_mini.settings import Settings
from training.labse_mini.sources import SHIPPED

_SENTENCES_TO_CHECK = 2000


class Recipe:
    """labse-mini in a working directory.

    Args:
        data: the directory of the corpora, see `training.labse_mini.data`.
        workdir: the directory to work in.
        settings: of all stages.
        held_out: sentences that no pair to train on may hold, beside those of the tests.
    """

    def __init__(self, data: str, workdir: str, settings: Settings, held_out: Sequence[str] = ()):
        self._source, self._workdir, self._settings = data, workdir, settings
        self._held_out = held_out
        self.stages: dict[str, Callable[[], None]] = {
            "data": self._data,
            "vocabulary": self._vocabulary,
            "table": self._table,
            **({"layers": self._layers} if settings.num_layers else {}),
            "release": self._release,
            "evaluation": self._evaluation,
            "card": self._card,
        }

    def run(self, last: str) -> None:
        """Runs the stages that are not finished, up to `last`; an interrupted one goes on."""
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
        names = {
            "vocabulary": "vocab.txt",
            "release": NAME,
            "evaluation": "evaluation.json",
        }
        return os.path.join(self._workdir, names.get(stage, stage))

    def _data(self) -> None:
        prepare(self._source, self._output("data"), self._settings.data, self._held_out)

    def _vocabulary(self) -> None:
        settings = self._settings.vocabulary
        tokens = learn_vocabulary(
            [read_columns(path) for path in self._files("sentences")],
            settings.size,
            exponent=settings.exponent,
            max_sentences=settings.max_sentences,
            tokenization=settings.tokenization,
        )
        write_vocabulary(tokens, self._output("vocabulary"))
        print(f"{len(tokens):,} pieces")

    def _table(self) -> None:
        preprocessor = labse_tf.Preprocessor(
            self._output("vocabulary"),
            self._settings.seq_length,
            tokenization=self._settings.vocabulary.tokenization,
        )
        config = labse_tf.EncoderConfig.small(
            preprocessor.vocab_size,
            hidden_size=self._settings.hidden_size,
            num_layers=0,
            dropout=0.0,
        )
        tf_keras.utils.set_random_seed(self._settings.table.seed)
        model = labse_tf.LaBSE(preprocessor, labse_tf.Encoder(config))
        # A trained scale falls to 0 in one dimension after another, from which it cannot return.
        norm = model.encoder.embeddings.layer_norm
        scale = np.ones(self._settings.hidden_size, np.float32)
        scale[: self._settings.reserved_dimensions] = 0
        norm.scale.assign(scale)
        norm.trainable = False
        self._train(model, self._settings.table, "table")

    def _layers(self) -> None:
        table = labse_tf.load(self._output("table"))
        encoder = labse_tf.grow(
            table.encoder, self._settings.num_layers, self._settings.layers.seed
        )
        model = labse_tf.LaBSE(table.preprocessor, encoder)
        self._train(model, self._settings.layers, "layers")

    def _train(self, model: labse_tf.LaBSE, config: FineTuningConfig, stage: str) -> None:
        """Trains in a run's directory, from which an interrupted stage goes on; and measures."""
        pairs = [path for kind in KINDS for path in self._files(kind)]
        run = os.path.join(self._workdir, "runs", stage)
        model = labse_tf.fine_tune(model, pairs, config, run)
        results = measure(model, self._output("data"))
        with atomic_file(os.path.join(self._workdir, f"{stage}.json")) as file:
            json.dump({"means": means(results), "languages": results}, file, indent=1)
        print(", ".join(f"{name} {value:.1%}" for name, value in means(results).items()))
        model.save(self._output(stage))

    def _release(self) -> None:
        trained = "layers" if self._settings.num_layers else "table"
        model = labse_tf.load(self._output(trained))
        self._check_dimensions(model)
        model.save(self._output("release"), weights_dtype="int8")

    def _check_dimensions(self, model: labse_tf.LaBSE) -> None:
        """Raise ValueError if more dimensions than the reserved ones are constant."""
        path = os.path.join(self._output("data"), "development.txt")
        sentences = list(itertools.islice(read_lines(path), _SENTENCES_TO_CHECK))
        constant = constant_dimensions(model.encode(sentences, show_progress=False))
        print(f"{len(constant)} of {model.dim} dimensions are constant")
        if len(constant) > self._settings.reserved_dimensions:
            raise ValueError(
                f"Dimensions {constant.tolist()} of the embeddings are constant, more than "
                f"`reserved_dimensions` (={self._settings.reserved_dimensions}): nothing is "
                "released. Lower the learning rate, or fix the scale of the layer normalization."
            )

    def _evaluation(self) -> None:
        """On all of eval/, once: settings are chosen on the development pairs."""
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
        options = ["--name", NAME, "--output", unfinished]
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
                *("--name", NAME),
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
