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
from labse_tf.training.preemption import Preemption
from labse_tf.training.stages import Stage

P_AT_1 = "held_out_p_at_1"


class HeldOutPairs(HeldOut):
    """Measures P@1 on held-out pairs.

    Each sentence's nearest neighbor among all translations of its file is looked up, in both
    directions; P@1 is the mean over directions and files. The best encoder is kept in the stage's
    directory, with `ema_decay` as its moving average.

    With `patience`, a stage starts with the best weights of the one before. If none of its own are
    better, these remain its best, at the depth of the stage.

    Args:
        model: Embeds the sentences; its encoder is trained.
        pairs: Files, one per language; or the pairs themselves.
        state: The state of the stage; keeps the best figure.
        config: How often to measure, and the `patience` after which the stage ends.
        stage: The steps that are counted.
        preemption: See `HeldOut`.
        best_before: With `patience`, the best figure of the earlier stages; -1: there are none.
    """

    def __init__(
        self,
        model: LaBSE,
        pairs: Sequence[str | os.PathLike] | PairRows,
        state: TrainingState,
        config: FineTuningConfig,
        stage: Stage,
        preemption: Preemption,
        best_before: float = -1.0,
    ):
        super().__init__(state, config, stage, preemption)
        self._embedder, self._patience, self._best_before = model, config.patience, best_before
        read = [pairs.pairs()] if isinstance(pairs, PairRows) else map(read_columns, pairs)
        self._pairs = [tuple(map(list, zip(*of_file))) for of_file in read]

    def record(self, measured: float) -> None:
        # Processors round in different ways, but all workers must end at the same step.
        figure = self._state.agreed(measured)
        self.report({P_AT_1: figure}, f"held-out P@1: {figure:.2%}")
        if figure > self._state.best.numpy():
            self._state.best.assign(figure)
            self._state.since.assign(0)
            if figure > self._best_before:
                self._state.save_best()
            return
        self._state.since.assign_add(1)
        if self._patience and self._state.since.numpy() >= self._patience:
            ended = "the stage" if self._config.stages else "the run"
            self._state.output.say(f"No better one in {self._patience} measurements: {ended} ends.")
            self.model.stop_training = True

    def measure(self) -> float:
        """P@1 now, between 0 and 1."""
        figures = []
        for source, target in self._pairs:
            x, y = (self._embedder.encode(side, show_progress=False) for side in (source, target))
            figures += [accuracy(x, y), accuracy(y, x)]
        return float(np.mean(figures))
