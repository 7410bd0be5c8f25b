"""LaBSE, Language-agnostic BERT Sentence Embedding (arXiv 2007.01852), for TensorFlow."""

from __future__ import annotations

import importlib.util
import platform
import typing

from labse_tf.version import __version__ as __version__

if typing.TYPE_CHECKING:
    from labse_tf.data.ranking_pairs import read_pairs
    from labse_tf.encoder.config import EncoderConfig
    from labse_tf.encoder.encoder import Encoder
    from labse_tf.encoder.growing import grow
    from labse_tf.encoder.stacking import stack
    from labse_tf.inference.embedder import Embedder
    from labse_tf.inference.loading import load
    from labse_tf.inference.model import LaBSE
    from labse_tf.losses.gathering import gather_across_replicas
    from labse_tf.losses.ranking import AdditiveMarginRankingLoss
    from labse_tf.mining.mine import mine
    from labse_tf.search.nearest import nearest
    from labse_tf.tokenization.preprocessing import Preprocessor
    from labse_tf.training.config import FineTuningConfig, PretrainingConfig
    from labse_tf.training.dual_encoder import DualEncoder
    from labse_tf.training.fine_tuning import fine_tune
    from labse_tf.training.pretraining import pretrain

# Each is imported when it is first asked for, since TensorFlow takes seconds: `labse --help` and
# a report need none of it, and `labse_tf.keras3` none of Keras 2.
_MODULES = {
    "AdditiveMarginRankingLoss": "losses.ranking",
    "DualEncoder": "training.dual_encoder",
    "Embedder": "inference.embedder",
    "Encoder": "encoder.encoder",
    "EncoderConfig": "encoder.config",
    "FineTuningConfig": "training.config",
    "LaBSE": "inference.model",
    "Preprocessor": "tokenization.preprocessing",
    "PretrainingConfig": "training.config",
    "fine_tune": "training.fine_tuning",
    "gather_across_replicas": "losses.gathering",
    "grow": "encoder.growing",
    "load": "inference.loading",
    "mine": "mining.mine",
    "nearest": "search.nearest",
    "pretrain": "training.pretraining",
    "read_pairs": "data.ranking_pairs",
    "stack": "encoder.stacking",
}
__all__ = [
    "AdditiveMarginRankingLoss",
    "DualEncoder",
    "Embedder",
    "Encoder",
    "EncoderConfig",
    "FineTuningConfig",
    "LaBSE",
    "Preprocessor",
    "PretrainingConfig",
    "fine_tune",
    "gather_across_replicas",
    "grow",
    "load",
    "mine",
    "nearest",
    "pretrain",
    "read_pairs",
    "stack",
]


# tensorflow-text has wheels for these alone: (platform.system(), platform.machine()).
_PLATFORMS = {("Linux", "x86_64"): "Linux on x86-64", ("Darwin", "arm64"): "macOS on arm64"}


def _check_platform() -> None:
    """Raise ImportError on a platform without tensorflow-text, unless it is installed anyway."""
    found = platform.system(), platform.machine()
    if found in _PLATFORMS or importlib.util.find_spec("tensorflow_text") is not None:
        return
    raise ImportError(
        f"labse_tf runs on {' and '.join(_PLATFORMS.values())}, but this is {' on '.join(found)}, "
        "for which tensorflow-text has no wheel (nor for Windows and ARM Linux). Use a container "
        "or a virtual machine of a supported platform, such as WSL on Windows."
    )


_check_platform()


def __getattr__(name: str) -> typing.Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
