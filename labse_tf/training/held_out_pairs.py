"""HeldOutPairs: the accuracy of retrieval on held-out pairs while a model is trained."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from labse_tf.data.pair_files import read_columns
from labse_tf.data.pair_rows import PairRows
from labse_tf.inference.model import LaBSE
from labse_tf.search.accuracy import accuracy
from labse_tf.training.checkpoints import TrainingState
from labse_tf.training.config import FineTuningConfig
from labse_tf.training.held_out import HeldOut
from labse_tf.training.stages import Stage

P_AT_1 = "held_out_p_at_1"


class HeldOutPairs(HeldOut):
    """Measures P@1 on held-out pairs.

    Each sentence's nearest neighbour among all translations of its file is looked up, in both
    directions; P@1 is the mean over directions and files. The best encoder is kept in the run's
    directory, with `ema_decay` as its moving average.

    Args:
        model: embeds; its encoder is what is trained.
        pairs: files, one a language; or the pairs themselves.
        state: of the stage; keeps the best figure.
        config: how often, and the `patience` after which the run ends.
        stage: the steps that are counted.
    """

    def __init__(
        self,
        model: LaBSE,
        pairs: Sequence[str | os.PathLike] | PairRows,
        state: TrainingState,
        config: FineTuningConfig,
        stage: Stage,
    ):
        super().__init__(state, config, stage)
        self._embedder, self._patience = model, config.patience
        read = [pairs.pairs()] if isinstance(pairs, PairRows) else map(read_columns, pairs)
        self._pairs = [tuple(map(list, zip(*of_file))) for of_file in read]

    def evaluate(self) -> None:
        figure = self.measure()
        self.report({P_AT_1: figure}, f"held-out P@1: {figure:.2%}")
        if figure > self._state.best.numpy():
            self._state.best.assign(figure)
            self._state.since.assign(0)
            self._state.save_best()
        else:
            self._state.since.assign_add(1)
            if self._patience and self._state.since.numpy() >= self._patience:
                self._state.output.say(
                    f"No better one in {self._patience} measurements: the run ends."
                )
                self.model.stop_training = True

    def measure(self) -> float:
        """P@1 now, between 0 and 1."""
        figures = []
        for source, target in self._pairs:
            x, y = (self._embedder.encode(side, show_progress=False) for side in (source, target))
            figures += [accuracy(x, y), accuracy(y, x)]
        return float(np.mean(figures))
