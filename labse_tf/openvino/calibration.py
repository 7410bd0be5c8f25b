"""An encoder's kernels in 8 bits, by what its layers' inputs are on sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from labse_tf.encoder.config import EncoderConfig
from labse_tf.openvino.constants import Constants
from labse_tf.openvino.graph import EncoderGraph
from labse_tf.openvino.kernels import FloatKernels
from labse_tf.openvino.rounding import choose_steps, round_kernel
from labse_tf.openvino.words import WordTable

DEFAULT_SENTENCES = 2000  # of `labse quantize`, a quarter of them to measure on
Batches = Iterable[tuple[np.ndarray, np.ndarray]]
OF_A_LAYER = ("attention_qkv", "attention_output", "intermediate", "output")
PARTS = ("numbers", "scale", "bias", "step", "centre")


def calibrate(
    weights: Mapping[str, np.ndarray],
    config: EncoderConfig,
    batches: Batches,
    threads: int = 0,
) -> dict[str, np.ndarray]:
    """Rounds the kernels of all layers to 8 bits. The pooler, of a token a sentence, stays.

    Memory: the moments of all layers' inputs, 0.6 GB at LaBSE's size, beside the model.

    Args:
        weights: by the names of an `Encoder`'s weights.
        config: of the encoder, which has layers.
        batches: Ids and mask of sentences, int32 [n, width] each; a mask starts with its ones.
        threads: most threads of an inference; 0: as many as there are cores.

    Returns:
        For each linear layer NAME, "NAME/numbers", int8 [outputs, inputs], and of float32
        "NAME/scale" and "NAME/bias" [outputs], "NAME/step" and "NAME/centre" [inputs]: it is
        numbers @ round((x - centre) / step) * scale + bias.

    Raises:
        ValueError: there are no sentences, or a number of a layer is NaN or infinite.
    """
    inputs = _Inputs(weights, config, threads)
    statistics = {name: _Statistics() for name in inputs.names}
    for name, rows in inputs.of(batches):
        statistics[name].add(rows)
    found = {}
    for name in inputs.names:
        observed = statistics.pop(name)  # Its moments take memory, and are not needed afterwards.
        if not observed.count:
            raise ValueError("There is not one sentence to calibrate with.")
        kernel, centre = inputs.kernel(name), observed.middle()
        if not all(np.isfinite(values).all() for values in (centre, kernel)):
            raise ValueError(f"The kernel of {name!r}, or what it is multiplied by, is not finite.")
        moments = observed.moments_around(centre)
        step = choose_steps(observed.low, observed.high, np.diag(moments), kernel)
        numbers, scale = round_kernel(kernel * step, moments / np.outer(step, step))
        bias = np.asarray(weights[f"{name}/bias"], np.float32) + kernel @ centre
        values = dict(numbers=numbers, scale=scale, bias=bias, step=step, centre=centre)
        found |= {f"{name}/{part}": values[part] for part in PARTS}
    return found


def linear_layers(config: EncoderConfig) -> dict[str, tuple[int, int]]:
    """The linear layers that are rounded: outputs and inputs by name."""
    dim, wide = config.hidden_size, config.intermediate_size
    shapes = dict(zip(OF_A_LAYER, [(3 * dim, dim), (dim, dim), (wide, dim), (dim, wide)]))
    return {
        f"layer_{i}/{name}": shape
        for i in range(config.num_layers)
        for name, shape in shapes.items()
    }


class _Observed(FloatKernels):
    """Kernels as they are, which note what they are multiplied by."""

    def __init__(self, constants: Constants):
        super().__init__(constants)
        self.inputs: dict[str, object] = {}

    def rounded(self, name: str, x):
        # The last layer's query is of some of the tokens that key and value are of.
        self.inputs.setdefault(name, x)
        return x


class _Inputs:
    """The inputs of all linear layers but the pooler, in float32."""

    def __init__(self, weights: Mapping[str, np.ndarray], config: EncoderConfig, threads: int):
        import openvino

        self.names, self._weights = list(linear_layers(config)), weights
        self._words, constants = WordTable(weights, threads), Constants(weights)
        kernels = _Observed(constants)
        self._graph = EncoderGraph(constants, config, kernels)  # it keeps the weights' memory
        outputs = [kernels.inputs[name] for name in self.names]
        model = openvino.Model(outputs, self._graph.model.get_parameters(), "inputs")
        options = {"INFERENCE_PRECISION_HINT": "f32"}
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        self._compiled = openvino.Core().compile_model(model, "CPU", options)

    def kernel(self, name: str) -> np.ndarray:
        """float32 [outputs, inputs]."""
        return np.ascontiguousarray(np.asarray(self._weights[f"{name}/kernel"], np.float32).T)

    def of(self, batches: Batches) -> Iterator[tuple[str, np.ndarray]]:
        """The name of each layer and its inputs, float32 [tokens, inputs], without padding."""
        for ids, mask in batches:
            found = self._compiled([self._words(ids), mask])
            for index, name in enumerate(self.names):
                rows = found[index]  # of the last layer perhaps only the first tokens
                yield name, rows[mask[:, : rows.shape[1]] > 0]


class _Statistics:
    """The ranges of numbers in columns, and the mean of their outer products."""

    def __init__(self):
        self.count, self.low, self.high = 0, np.inf, -np.inf
        # Sums of differences from a first mean, which keeps them small enough for float32.
        self._origin = self._sum = self._products = 0.0

    def add(self, rows: np.ndarray) -> None:
        """Add rows, float32 [n, columns]."""
        if not len(rows):
            return
        if not self.count:
            self._origin = rows.mean(axis=0)
        self.count += len(rows)
        self.low = np.minimum(self.low, rows.min(axis=0))
        self.high = np.maximum(self.high, rows.max(axis=0))
        rows = rows - self._origin
        self._sum = self._sum + rows.sum(axis=0, dtype=np.float64)
        self._products += rows.T @ rows

    def middle(self) -> np.ndarray:
        """Return the middles of the ranges, float32 [columns]."""
        return ((self.low + self.high) / 2).astype(np.float32)

    def moments_around(self, centre: np.ndarray) -> np.ndarray:
        """Return the mean of the outer products of the distances from a point with themselves."""
        mean, offset = self._sum / self.count, centre.astype(np.float64) - self._origin
        cross = np.outer(mean, offset)
        return self._products / self.count - cross - cross.T + np.outer(offset, offset)
