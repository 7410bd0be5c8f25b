"""What a release says of itself, read without TensorFlow."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

from labse_tf.encoder.config import EncoderConfig
from labse_tf.release.weights_dtypes import WEIGHTS_DTYPES
from labse_tf.tokenization.choices import BEFORE_THE_CHOICE, vocabulary_file_name

CONFIG_FILE = "labse.json"
FORMAT = 1


@dataclasses.dataclass(frozen=True)
class ReleaseConfiguration:
    """What a release is.

    Args:
        encoder: the shape of its encoder.
        options: of its Preprocessor, but for the vocabulary.
        weights_dtype: what its weights are stored in.
    """

    encoder: EncoderConfig
    options: dict[str, Any]
    weights_dtype: str

    @property
    def vocabulary_file(self) -> str:
        """Name of the vocabulary among the assets."""
        return vocabulary_file_name(self.options["tokenization"])


def is_release(path: str) -> bool:
    """Whether `path` is the directory of a release."""
    parts = ("saved_model.pb", os.path.join("assets", CONFIG_FILE))
    return all(os.path.isfile(os.path.join(path, part)) for part in parts)


def read_configuration(path: str | os.PathLike) -> ReleaseConfiguration:
    """Reads the configuration of a release.

    Raises:
        FileNotFoundError: there is no such directory.
        ValueError: it is not a release, or is of a newer format.
    """
    path = os.fspath(path)
    if not os.path.isdir(path):
        raise FileNotFoundError(f"There is no directory {path!r}.")
    if not is_release(path):
        raise ValueError(
            f"{path!r} is not a release of labse_tf: it lacks saved_model.pb or "
            f"assets/{CONFIG_FILE}. It holds: {sorted(os.listdir(path))[:10]}."
        )
    config_file = os.path.join(path, "assets", CONFIG_FILE)
    with open(config_file, encoding="utf-8") as file:
        try:
            release = json.load(file)
            encoder_config, form = release["encoder"], release["format"]
            options = {name: release[name] for name in ("seq_length", "lower_case")}
            options |= {name: release.get(name, then) for name, then in BEFORE_THE_CHOICE.items()}
            names = ("prompts", "default_prompt_name")
            options |= {name: release[name] for name in names if name in release}
            weights_dtype = release.get("weights_dtype", "float32")
        except (json.JSONDecodeError, TypeError, KeyError) as error:
            raise ValueError(
                f"{config_file}: not the configuration of a release: {error}"
            ) from error
    if form != FORMAT:
        raise ValueError(
            f"{config_file}: format {form!r}, but this version of labse_tf reads format {FORMAT}."
        )
    if weights_dtype not in WEIGHTS_DTYPES:
        raise ValueError(
            f"{config_file}: `weights_dtype` is {weights_dtype!r}, not one of {WEIGHTS_DTYPES}."
        )
    config = EncoderConfig.from_json(json.dumps(encoder_config))
    return ReleaseConfiguration(config, options, weights_dtype)
