"""HeldOut: what the callbacks that measure on held-out data have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tf_keras

from labse_tf.training.checkpoints import TrainingState
from labse_tf.training.config import TrainingConfig
from labse_tf.training.preemption import Preempted, Preemption
from labse_tf.training.stages import Stage


class HeldOut(tf_keras.callbacks.Callback):
    """Measures every `config.evaluate_every` steps, and after the last step of a stage.

    What is measured is the model that the run would give if it ended there: settled weights, or
    their moving averages. SIGTERM puts the measurement off until the run is started again: a
    checkpoint is saved within the time of a step, not of a measurement.

    Args:
        state: The state of the stage; figures go to its logs.
        config: The configuration of the whole run.
        stage: The steps that are counted.
        preemption: Says whether SIGTERM was received.
    """

    def __init__(
        self, state: TrainingState, config: TrainingConfig, stage: Stage, preemption: Preemption
    ):
        super().__init__()
        self._state, self._config, self._preemption = state, config, preemption
        self._start = self._step = stage.first + state.step
        self._last = stage.first + stage.steps

    def on_train_batch_end(self, batch: int, logs=None):
        self._step = self._start + batch + 1
        if self._step % self._config.evaluate_every == 0 or self._step == self._last:
            self.evaluate()

    def evaluate(self) -> None:
        """Measure and record; with SIGTERM, mark the measurement as pending instead."""
        # The next callback saves the state and ends the run.
        self._state.pending.assign(True)
        if self._preemption.asked():
            return
        try:
            with self._state.result():
                with self._preemption.measurement():
                    measured = self.measure()
                self.record(measured)
        except Preempted:
            return
        self._state.pending.assign(False)

    def measure(self) -> Any:
        """Measure the model, which has the weights that the run would end with now."""
        raise NotImplementedError

    def record(self, measured: Any) -> None:
        """Record what `measure` returned; the model has the same weights."""
        raise NotImplementedError

    def report(self, figures: Mapping[str, float], summary: str) -> None:
        """Write figures of the current step to the run's logs, and their summary to stdout."""
        self._state.log(self._step, figures)
        self._state.output.say(f"{self._step}/{self._config.steps} - {summary}")
