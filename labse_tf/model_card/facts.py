"""What a model's own files say of it."""

from __future__ import annotations

import dataclasses
import filecmp
import json
import math
import os

from labse_tf.encoder.config import EncoderConfig
from labse_tf.inference.loading import load
from labse_tf.inference.model import LaBSE
from labse_tf.release.configuration import CONFIG_FILE, is_release, read_configuration


@dataclasses.dataclass(frozen=True)
class Facts:
    """A release, or the encoder and the preprocessor that `--split` wrote.

    Args:
        encoder: directory of the SavedModel that embeds: of the release itself, if it is one.
        preprocessor: directory of the SavedModel that makes the token ids; the same of a release.
        model: what `labse_tf.load` makes of it, in float32.
        compute_dtype: what the SavedModel computes in.
        weights_dtype: what its weights are stored in.
    """

    encoder: str
    preprocessor: str
    model: LaBSE
    compute_dtype: str
    weights_dtype: str

    @property
    def split(self) -> bool:
        return self.encoder != self.preprocessor

    @property
    def config(self) -> EncoderConfig:
        return self.model.encoder.config

    @property
    def seq_length(self) -> int:
        return self.model.preprocessor.seq_length

    @property
    def lower_case(self) -> bool:
        return self.model.preprocessor.lower_case

    @property
    def weights(self) -> int:
        return sum(math.prod(weight.shape) for weight in self.model.encoder.weights)

    def fingerprint(self, precision: str) -> str:
        """The fingerprint of the model as it is evaluated in a precision."""
        if precision == "float32":
            return self.model.fingerprint()
        return load(self.encoder, precision=precision).fingerprint()


def read_facts(path: str | os.PathLike) -> Facts:
    """Reads a release, or a directory with `encoder/` and `preprocessor/`.

    Raises:
        FileNotFoundError: there is no such directory.
        ValueError: it is none of the two; or the two parts' vocabularies differ.
    """
    path = os.fspath(path)
    if not os.path.isdir(path):
        raise FileNotFoundError(f"There is no directory {path!r}.")
    parts = [os.path.join(path, part) for part in ("encoder", "preprocessor")]
    is_split = is_release(parts[0]) and os.path.isfile(os.path.join(parts[1], "saved_model.pb"))
    if is_split:
        vocabulary = read_configuration(parts[0]).vocabulary_file
        vocabularies = [os.path.join(part, "assets", vocabulary) for part in parts]
        if not filecmp.cmp(*vocabularies, shallow=False):
            raise ValueError(
                f"{path!r}: encoder/ and preprocessor/ have different vocabularies, so they are "
                "not of one model. Write both with one `--split`."
            )
    elif not is_release(path):
        raise ValueError(
            f"{path!r} is neither a release of labse_tf nor a directory with encoder/ and "
            f"preprocessor/, as `--split` writes it. It holds: {sorted(os.listdir(path))[:10]}. "
            "`labse convert` makes a release of another model."
        )
    elif os.path.isfile(os.path.join(path, os.pardir, "preprocessor", "saved_model.pb")):
        raise ValueError(
            f"{path!r} is one part of two, beside preprocessor/. Give the directory of both."
        )
    encoder, preprocessor = parts if is_split else (path, path)
    model = load(encoder)
    with open(os.path.join(encoder, "assets", CONFIG_FILE), encoding="utf-8") as file:
        said = json.load(file)
    return Facts(
        encoder=os.path.abspath(encoder),
        preprocessor=os.path.abspath(preprocessor),
        model=model,
        compute_dtype=said.get("compute_dtype", "float32"),
        weights_dtype=said.get("weights_dtype", "float32"),
    )
