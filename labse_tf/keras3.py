"""LaBSELayer: a release as a layer of a Keras 3 model."""

from __future__ import annotations

import os
from collections.abc import Mapping

import keras
import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the ops that a release needs

from labse_tf.models import named

INPUTS = ("input_word_ids", "input_mask", "input_type_ids")


@keras.saving.register_keras_serializable(package="labse_tf")
class LaBSELayer(keras.layers.Layer):
    """Sentences in, unit embeddings out, from a release, in a Keras 3 model.

    In place of hub.KerasLayer, which Keras 3 refuses, and of keras.layers.TFSMLayer, which ignores
    `training` and fails under `fit` with Adam. Only the release is needed, and tensorflow_text;
    nothing of Keras 2 is imported. In a tf_keras model use hub.KerasLayer.

    It takes strings, [batch] or [batch, 1]; or a preprocessor's dict of `input_word_ids`,
    `input_mask` and `input_type_ids`, int [batch, width]. It returns float32 [batch, dim] under
    every Keras dtype policy: a release computes in the dtype that it was written with.

    A `.keras` file holds the weights and the release's path, not the release: where the file is
    loaded, the release must lie at that path (a relative one is taken from the working
    directory), and `labse_tf.keras3` must have been imported.

    Args:
        path: directory of a release; or "labse-mini", the one that comes with the package.
        trainable: Whether the weights are trained, with the encoder's dropout; by default not, as
            in hub.KerasLayer. A frozen layer has no dropout. Embeddings in int8, such as
            labse-mini's, cannot be trained: convert the release to float32 first.
        name: the layer's name.

    Raises:
        FileNotFoundError: there is no such directory.
        RuntimeError: Keras does not run on TensorFlow.
        ValueError: it is not a release; or it is to be trained, but has embeddings in int8.

    Example:
        >>> sentences = keras.Input(shape=(), dtype="string")
        >>> outputs = keras.layers.Dense(2)(LaBSELayer("release", trainable=True)(sentences))
        >>> keras.Model(sentences, outputs).compile("adam", "mse")
    """

    def __init__(
        self, path: str | os.PathLike, *, trainable: bool = False, name: str | None = None
    ):
        if keras.backend.backend() != "tensorflow":
            raise RuntimeError(
                f"A release is a TensorFlow SavedModel, but Keras runs on "
                f"{keras.backend.backend()}: set KERAS_BACKEND=tensorflow."
            )
        super().__init__(name=name, dtype="float32", autocast=False)  # weights stay as they are
        self.release_path = os.fspath(path)
        release = named(self.release_path)
        if not os.path.isdir(release):
            raise FileNotFoundError(f"There is no directory {release!r} of a release.")
        # XLA cannot compile the tokenizer's string ops: it would abort the process.
        self.supports_jit = False
        self._release = _load(release)
        self._is_int8 = any(v.dtype == tf.int8 for v in self._release.variables)
        if trainable:
            self._check_trainable()
        # Keras variables that wrap those of the release's functions: the same memory. Names without
        # ":0", which Keras' optimizers refuse, and slashes, which they take for folders.
        self._embedding_weights = [
            keras.Variable(
                initializer=variable,
                dtype=variable.dtype.name,
                trainable=True,
                name=variable.name.removesuffix(":0").replace("/", "_"),
            )
            for variable in (
                self._float_variables() if self._is_int8 else self._release.trainable_variables
            )
        ]
        self.dim = (
            self._release.signatures["serving_default"].structured_outputs["embeddings"].shape[1]
        )
        self.trainable = trainable  # after the weights are there, which it is set on as well
        self.built = True

    @property
    def compute_dtype(self) -> str:
        """What Sequential makes the input of, where it has none, as of TextVectorization."""
        return "string"

    @property
    def variable_dtype(self) -> str:
        """Equal to `compute_dtype`, so that Keras casts no weight; each has its own dtype."""
        return "string"

    def call(self, inputs, training: bool | None = None):
        """Embeds sentences, or a preprocessor's ids; see the class."""
        training = bool(training) and self.trainable
        if training:
            self._check_trainable()
        if isinstance(inputs, Mapping):
            ids = {name: tf.cast(inputs[name], tf.int32) for name in _checked(inputs)}
            return tf.math.l2_normalize(self._release.encoder(ids, training)["default"], axis=1)
        sentences = tf.convert_to_tensor(inputs)
        if sentences.dtype != tf.string:
            raise ValueError(
                f"LaBSELayer takes strings, or a dict of {INPUTS}; got {sentences.dtype.name}."
            )
        if sentences.shape.rank == 2 and sentences.shape[1] == 1:
            sentences = tf.squeeze(sentences, 1)
        return self._release(sentences, training)

    def compute_output_spec(self, inputs, training: bool | None = None):
        """float32 [batch, dim], without running the release."""
        one = inputs[_checked(inputs)[0]] if isinstance(inputs, Mapping) else inputs
        return keras.KerasTensor((one.shape[0], self.dim), "float32")

    def _float_variables(self) -> list[tf.Variable]:
        """Return what earlier releases in int8 had as `trainable_variables`, for `.keras` files."""
        return [
            variable
            for variable in self._release.variables
            if variable.dtype.is_floating and "word_scale" not in variable.name
        ]

    def _check_trainable(self) -> None:
        """Raise ValueError if nearly all of the weights are integers, which are not trained."""
        if self._is_int8:
            raise ValueError(
                f"{self.release_path!r} has word embeddings in int8, which cannot be trained. "
                f"`labse convert {self.release_path} DIR --weights-dtype float32` writes a release "
                "that can. Or keep the layer frozen, with trainable=False."
            )

    @classmethod
    def from_config(cls, config: dict[str, object]) -> LaBSELayer:
        """Return a layer of these arguments; it can embed even if it could not be trained."""
        layer = cls(**{**config, "trainable": False})
        layer.trainable = config["trainable"]
        return layer

    def get_config(self) -> dict[str, object]:
        """The arguments of the constructor."""
        return {"path": self.release_path, "trainable": self.trainable, "name": self.name}


def _load(path: str):
    try:
        release = tf.saved_model.load(path)
    except (OSError, tf.errors.OpError, ValueError) as error:
        raise ValueError(f"{path!r} cannot be loaded as a release: {error}") from error
    missing = [name for name in ("encoder", "preprocessor") if not hasattr(release, name)]
    if missing or "serving_default" not in release.signatures:
        raise ValueError(
            f"{path!r} is a SavedModel, but no release of labse_tf: it lacks "
            f"{missing or 'serving_default'}. `labse convert {path} RELEASE` makes one of it."
        )
    return release


def _checked(inputs: Mapping) -> tuple[str, ...]:
    if missing := [name for name in INPUTS if name not in inputs]:
        raise ValueError(
            f"LaBSELayer needs the ids {INPUTS}, but {missing} are missing; got {sorted(inputs)}."
        )
    return INPUTS
