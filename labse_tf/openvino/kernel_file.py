"""The file of a model's kernels in 8 bits, beside the release that it belongs to."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Mapping

import numpy as np

from labse_tf.encoder.config import EncoderConfig
from labse_tf.files.atomic import atomic_file
from labse_tf.openvino.calibration import linear_layers

KERNEL_FILE = "int8.npz"
_DIGEST = "layers_sha256"  # Identifies the float weights that the kernels were made of.


def write_kernels(
    directory: str | os.PathLike,
    calibrated: Mapping[str, np.ndarray],
    weights: Mapping[str, np.ndarray],
) -> None:
    """Write int8 kernels into the directory of a release.

    Args:
        directory: Directory of the release.
        calibrated: Kernels that `labse_tf.openvino.calibration.calibrate` returned.
        weights: Weights of the release by name, in any float dtype.
    """
    values = {**calibrated, _DIGEST: np.array(_digest(weights))}
    with atomic_file(os.path.join(directory, KERNEL_FILE), "wb") as file:
        np.savez(file, **values)


def belong_to(calibrated: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray]) -> bool:
    """Return whether int8 kernels were prepared for layers with these weights."""
    return _DIGEST in calibrated and str(calibrated[_DIGEST]) == _digest(weights)


def _digest(weights: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of the weights, without the word embeddings, which may be pruned."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        part, _, rest = name.partition("/")
        if (part == "embeddings" and not rest.startswith("word")) or part.startswith("layer_"):
            digest.update(f"{name} {weights[name].shape}".encode())
            digest.update(np.ascontiguousarray(weights[name], np.float32))
    return digest.hexdigest()


def read_kernels(
    directory: str | os.PathLike, config: EncoderConfig
) -> dict[str, np.ndarray] | None:
    """What was written into a release's directory; None: nothing was.

    Args:
        directory: of the release.
        config: of its encoder.

    Raises:
        ValueError: the file is damaged, or of another encoder.
    """
    path = os.path.join(directory, KERNEL_FILE)
    if not os.path.isfile(path):
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a file of kernels in 8 bits: {error}") from error
    expected = {}
    for name, (outputs, inputs) in linear_layers(config).items():
        expected |= {f"{name}/numbers": ((outputs, inputs), "int8")}
        expected |= {f"{name}/{part}": ((outputs,), "float32") for part in ("scale", "bias")}
        expected |= {f"{name}/{part}": ((inputs,), "float32") for part in ("step", "centre")}
    has = {n: (array.shape, str(array.dtype)) for n, array in found.items() if n != _DIGEST}
    if has != expected:
        wrong = next(n for n in sorted({*has, *expected}) if has.get(n) != expected.get(n))
        raise ValueError(
            f"{path} is not of this encoder: {wrong!r} is {has.get(wrong)}, where it should be "
            f"{expected.get(wrong)}. Run `labse quantize` again."
        )
    return found
