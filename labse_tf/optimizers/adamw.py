"""AdamW as BERT uses it, with row-sparse updates of tables and a moving average of weights."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
import tf_keras

from labse_tf.optimizers.gradients import dense
from labse_tf.optimizers.loss_scale import LossScale
from labse_tf.optimizers.rows import read_rows, write_rows
from labse_tf.optimizers.slots import catch_up, pending_decay, share_of_step, slots_of

NOT_DECAYED = ("bias", "layer_norm")
_ROWS_AT_ONCE = 16_384


@tf_keras.saving.register_keras_serializable(package="labse_tf")
class AdamW(tf_keras.optimizers.Optimizer):
    """AdamW (arXiv 1711.05101) that updates only those rows of a table that have a gradient.

    A dense gradient is applied by one fused op. A gradient of IndexedSlices, that of an embedding
    table, costs as much as its rows, not as the table. A row then has two clocks:

    - The row's own counts the steps in which it has a gradient. Its moments decay, and their bias
      is corrected, by this clock. If every row occurs in every step, this is AdamW.
    - The run's counts all steps. Weight decay and the moving average follow it, but lazily: they
      are applied when the row occurs next, for all steps since, in which its value stayed the
      same; or by `settle`, without which weights and averages are not to be read. The average goes
      on from the decayed value then: how often a run settles is in its averages, though not in its
      weights but for rounding.

    Example: learning rate 0.1 and `weight_decay` 0.1, so each step decays by 1 - 0.01. A row
    occurs in steps 1 and 4. In step 4 its moments see their second gradient, with bias corrections
    1 - beta_1^2 and 1 - beta_2^2, and it is multiplied by 0.99^3, for steps 2, 3 and 4. Its moving
    average first catches up on steps 2 and 3, in which it had the value w of step 1, and then takes
    the new value w'. After step 4 it is the mean of w, w, w and w' with shares in proportion to
    d^3, d^2, d and 1. `settle` after step 6 does the same for steps 5 and 6.

    Clip before: gradients are applied as they come, see `labse_tf.optimizers.steps`.

    A step that the loss scale skips counts for `iterations`, and so for the learning rate, the
    position in the data and the dropout masks. It changes nothing else: weights, moments, averages
    and their clocks are as if there had been no such step.

    Args:
        learning_rate: a number or a schedule.
        weight_decay: share of a weight that is subtracted a step, times the learning rate; not of
            weights whose name contains one of `NOT_DECAYED`.
        ema_decay: Decay per step of the moving average of the weights, see `averages`; 0 for none.
            Its bias is corrected: the weights before the first step have no share in it.
        tables: names of the variables whose gradients are IndexedSlices.
        table_rate_factor: Factor of the learning rate for `tables`.
        beta_1, beta_2: decay of the moments.
        epsilon: added to the root of the second moment; BERT's is 1e-6.
        loss_scaling: whether gradients come from float16, see `loss_scale`.

    Attributes:
        loss_scale: a LossScale, or None.
    """

    def __init__(
        self,
        learning_rate: float | tf_keras.optimizers.schedules.LearningRateSchedule,
        weight_decay: float = 0.0,
        ema_decay: float = 0.0,
        tables: Sequence[str] = (),
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        loss_scaling: bool = False,
        table_rate_factor: float = 1.0,
    ):
        # None, not 0: with a number Keras decays every weight itself, and densely.
        super().__init__(name="AdamW", weight_decay=None, jit_compile=False)
        self._learning_rate = self._build_learning_rate(learning_rate)
        self.decay, self.ema_decay, self.tables = weight_decay, ema_decay, tuple(tables)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        self.table_rate_factor = table_rate_factor
        self.loss_scale = LossScale() if loss_scaling else None
        self._slots: list[dict[str, tf.Variable]] = []

    def build(self, var_list: Sequence[tf.Variable]) -> None:
        """Creates the moments and averages, and for tables the rows' clocks.

        Raises:
            ValueError: a name of `tables` is not a variable's.
        """
        super().build(var_list)
        names = {variable.name.removesuffix(":0") for variable in var_list}
        if unknown := set(self.tables) - names:
            raise ValueError(
                f"`tables` has {sorted(unknown)}, but the weights are {sorted(names)}."
            )
        if not self._slots:
            self._slots = [
                slots_of(v, bool(self.ema_decay), v.name.removesuffix(":0") in self.tables)
                for v in var_list
            ]
            self._trained = list(var_list)
        self._built = True

    @property
    def variables(self) -> list[tf.Variable]:
        """All of its state, the step first: what a .keras or .h5 file of a compiled model holds."""
        found = super().variables
        found.extend(slot for slots in self._slots for slot in slots.values())
        found.extend(self.loss_scale.variables if self.loss_scale else ())
        return found

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Sets `variables`, in their order.

        Raises:
            ValueError: there are more or fewer, as before `build`; or a shape differs.
        """
        if len(weights) != (count := len(self.variables)):
            raise ValueError(
                f"The optimizer has {count} variables, but {len(weights)} values are given: those "
                "of other arguments, or before `build`."
            )
        for variable, value in zip(self.variables, weights, strict=True):
            variable.assign(value)

    @property
    def averages(self) -> dict[str, tf.Variable]:
        """The moving averages by the names of their weights; {} without `ema_decay`."""
        return {
            variable.name.removesuffix(":0"): slots["average"]
            for variable, slots in zip(self._trained, self._slots, strict=True)
            if "average" in slots
        }

    def update_step(self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> None:
        """Applies one weight's gradient; called by `apply_gradients`."""
        if self.loss_scale is None:
            self._update(gradient, variable)
        else:  # here, since a strategy's weights cannot be written in a branch of a replica
            tf.cond(self.loss_scale.finite, lambda: self._update(gradient, variable), lambda: None)

    def _update(self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> None:
        slots = self._slots[self._index_dict[self._var_key(variable)]]
        rate = tf.cast(self.learning_rate, tf.float32)
        if isinstance(gradient, tf.IndexedSlices) and "steps" in slots:
            self._update_rows(gradient, variable, slots, rate * self.table_rate_factor)
        else:
            self._update_all(dense(gradient, variable), variable, slots, rate)

    def settle(self) -> None:
        """Applies to all rows of tables the decay and the moving average that are pending."""
        strategy = self._distribution_strategy
        for variable, slots in zip(self._trained, self._slots, strict=True):
            if "steps" not in slots:
                continue
            for start in range(0, variable.shape[0], _ROWS_AT_ONCE):
                rows = tf.range(start, min(start + _ROWS_AT_ONCE, variable.shape[0]))
                strategy.extended.update(variable, self._settle, args=(slots, rows))

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """A block in which weights are settled, and are their moving averages if there are any.

        To measure or to write them with. Each changes places with its average, so that no more
        than one of them is held twice.
        """
        self.settle()
        self._swap_averages()
        try:
            yield
        finally:
            self._swap_averages()

    def _swap_averages(self) -> None:
        for variable, slots in zip(self._trained, self._slots, strict=True):
            if "average" in slots:
                value = variable.numpy()
                variable.assign(slots["average"])
                slots["average"].assign(value)

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        config = super().get_config()
        config.update(
            learning_rate=self._serialize_hyperparameter(self._learning_rate),
            weight_decay=self.decay,
            ema_decay=self.ema_decay,
            tables=self.tables,
            table_rate_factor=self.table_rate_factor,
            beta_1=self.beta_1,
            beta_2=self.beta_2,
            epsilon=self.epsilon,
            loss_scaling=self.loss_scale is not None,
        )
        return {name: config[name] for name in inspect.signature(type(self)).parameters}

    def _update_all(self, gradient, variable, slots, rate) -> None:
        if self._decays(variable):
            variable.assign_sub(variable * (rate * self.decay))
        step = tf.cast(self._updates + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=slots["m"].handle,
            v=slots["v"].handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )
        if self.ema_decay:
            average = slots["average"]
            share = share_of_step(self.ema_decay, self._updates + 1)
            average.assign_sub(share * (average - variable))

    def _update_rows(self, gradient, variable, slots, rate) -> None:
        rows, gradient = gradient.indices, gradient.values
        steps = read_rows(slots["steps"], rows) + 1
        write_rows(slots["steps"], rows, steps)
        first = self.beta_1 * read_rows(slots["m"], rows) + (1 - self.beta_1) * gradient
        second = self.beta_2 * read_rows(slots["v"], rows) + (1 - self.beta_2) * tf.square(gradient)
        write_rows(slots["m"], rows, first)
        write_rows(slots["v"], rows, second)
        rates = rate * tf.sqrt(1 - self.beta_2**steps) / (1 - self.beta_1**steps)
        step = rates[:, tf.newaxis] * first / (tf.sqrt(second) + self.epsilon)
        if self._decays(variable):
            slots["decay_sum"].assign_add(tf.math.log1p(-tf.cast(rate, tf.float64) * self.decay))
        old = read_rows(variable, rows)
        new = old * pending_decay(slots, rows) - step
        write_rows(variable, rows, new)
        if self.ema_decay:
            catch_up(slots, rows, old, self._updates, self.ema_decay)
            average = read_rows(slots["average"], rows)
            share = share_of_step(self.ema_decay, self._updates + 1)
            write_rows(slots["average"], rows, average - share * (average - new))
            write_rows(slots["averaged"], rows, tf.zeros_like(rows, tf.int64) + self._updates + 1)

    def _settle(self, variable, slots, rows) -> None:
        old = read_rows(variable, rows)
        if self.ema_decay:
            catch_up(slots, rows, old, self._updates, self.ema_decay)
        write_rows(variable, rows, old * pending_decay(slots, rows))

    @property
    def _updates(self) -> tf.Tensor:
        """Number of steps that were taken, int64: all but the skipped ones."""
        skipped = 0 if self.loss_scale is None else self.loss_scale.skipped
        return self.iterations - skipped

    def _decays(self, variable: tf.Variable) -> bool:
        return bool(self.decay) and not any(part in variable.name for part in NOT_DECAYED)
