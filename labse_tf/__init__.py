"""LaBSE, Language-agnostic BERT Sentence Embedding (arXiv 2007.01852), for TensorFlow."""

from __future__ import annotations

import importlib
import typing

if typing.TYPE_CHECKING:
    from labse_tf.config import EncoderConfig
    from labse_tf.dual_encoder import DualEncoder
    from labse_tf.encoder import Encoder
    from labse_tf.fine_tuning import FineTuningConfig, fine_tune
    from labse_tf.growing import grow
    from labse_tf.loading import load
    from labse_tf.model import LaBSE
    from labse_tf.pairs import read_pairs
    from labse_tf.preprocessing import Preprocessor
    from labse_tf.pretraining import PretrainingConfig, pretrain
    from labse_tf.ranking import AdditiveMarginRankingLoss, gather_across_replicas
    from labse_tf.stacking import stack

__version__ = "0.1.0"

# Each is imported when it is first asked for, since TensorFlow takes seconds: `labse --help` and
# a report need none of it, and `labse_tf.keras3` none of Keras 2.
_MODULES = {
    "AdditiveMarginRankingLoss": "ranking",
    "DualEncoder": "dual_encoder",
    "Encoder": "encoder",
    "EncoderConfig": "config",
    "FineTuningConfig": "fine_tuning",
    "LaBSE": "model",
    "Preprocessor": "preprocessing",
    "PretrainingConfig": "pretraining",
    "fine_tune": "fine_tuning",
    "gather_across_replicas": "ranking",
    "grow": "growing",
    "load": "loading",
    "pretrain": "pretraining",
    "read_pairs": "pairs",
    "stack": "stacking",
}
__all__ = [
    "AdditiveMarginRankingLoss",
    "DualEncoder",
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
    "pretrain",
    "read_pairs",
    "stack",
]


def __getattr__(name: str) -> typing.Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
