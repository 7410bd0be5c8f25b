"""HeldOut: what the callbacks that measure on held-out data have in common."""

from __future__ import annotations

from collections.abc import Mapping

import tf_keras

from labse_tf.training.checkpoints import TrainingState
from labse_tf.training.config import TrainingConfig
from labse_tf.training.stages import Stage


class HeldOut(tf_keras.callbacks.Callback):
    """Calls `evaluate` every `config.evaluate_every` steps, and after the last step of a stage.

    It sees what a run would give if it ended there: settled weights, or their moving averages.

    Args:
        state: of the stage; figures go to its logs.
        config: of the whole run.
        stage: the steps that are counted.
    """

    def __init__(self, state: TrainingState, config: TrainingConfig, stage: Stage):
        super().__init__()
        self._state, self._config = state, config
        self._start = self._step = stage.first + state.step
        self._last = stage.first + stage.steps

    def on_train_batch_end(self, batch: int, logs=None):
        self._step = self._start + batch + 1
        if self._step % self._config.evaluate_every == 0 or self._step == self._last:
            with self._state.result():
                self.evaluate()

    def evaluate(self) -> None:
        """Measures the model, which has the weights that the run would end with now."""
        raise NotImplementedError

    def report(self, figures: Mapping[str, float], summary: str) -> None:
        """Writes figures of the current step to the run's logs, and their summary to stdout."""
        self._state.log(self._step, figures)
        self._state.output.say(f"{self._step}/{self._config.steps} - {summary}")
