"""HeldOut: the accuracy of retrieval on held-out pairs while a model is trained."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import tf_keras

from labse_tf.data.pair_files import read_columns
from labse_tf.inference.model import LaBSE
from labse_tf.search.accuracy import accuracy
from labse_tf.training.callbacks import say
from labse_tf.training.checkpoints import TrainingState
from labse_tf.training.config import FineTuningConfig
from labse_tf.training.stages import Stage

P_AT_1 = "held_out_p_at_1"


class HeldOut(tf_keras.callbacks.Callback):
    """Measures P@1 every N steps and after the last, on files of held-out pairs.

    Each sentence's nearest neighbour among all translations of its file is looked up, in both
    directions; P@1 is the mean over directions and files. The encoder that did best stays in the
    run's directory.

    Args:
        model: embeds; its encoder is what is trained.
        files: pairs, one file a language.
        state: of the run; keeps the best figure.
        config: how often, and when to end the run.
        stage: which steps these are.
    """

    def __init__(
        self,
        model: LaBSE,
        files: Sequence[str | os.PathLike],
        state: TrainingState,
        config: FineTuningConfig,
        stage: Stage,
    ):
        super().__init__()
        self._model, self._state, self._config = model, state, config
        self._last = stage.first + stage.steps
        self._step = stage.first + state.step
        self._pairs = {
            os.path.basename(path): tuple(map(list, zip(*read_columns(path)))) for path in files
        }

    def on_train_batch_end(self, batch: int, logs=None):
        self._step += 1
        if self._step % self._config.evaluate_every and self._step != self._last:
            return
        figure = self.measure()
        say(f"{self._step}/{self._config.steps} - held-out P@1: {figure:.2%}")
        self._state.log(self._step, {P_AT_1: figure})
        if figure > self._state.best.numpy():
            self._state.best.assign(figure)
            self._state.since.assign(0)
            self._state.save_best()
        else:
            self._state.since.assign_add(1)
            patience = self._config.patience
            if patience and self._state.since.numpy() >= patience:
                say(f"No better one in {patience} measurements: the run ends.")
                self.model.stop_training = True

    def measure(self) -> float:
        """P@1 now, between 0 and 1."""
        figures = []
        for source, target in self._pairs.values():
            x, y = (self._model.encode(side, show_progress=False) for side in (source, target))
            figures += [accuracy(x, y), accuracy(y, x)]
        return float(np.mean(figures))
