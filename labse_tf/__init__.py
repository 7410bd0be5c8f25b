"""LaBSE, Language-agnostic BERT Sentence Embedding (arXiv 2007.01852), for TensorFlow."""

from labse_tf.config import EncoderConfig
from labse_tf.dual_encoder import DualEncoder
from labse_tf.encoder import Encoder
from labse_tf.fine_tuning import FineTuningConfig, fine_tune
from labse_tf.growing import grow
from labse_tf.loading import load
from labse_tf.model import LaBSE
from labse_tf.pairs import read_pairs
from labse_tf.preprocessing import Preprocessor
from labse_tf.ranking import AdditiveMarginRankingLoss, gather_across_replicas

__version__ = "0.1.0"

__all__ = [
    "AdditiveMarginRankingLoss",
    "DualEncoder",
    "Encoder",
    "EncoderConfig",
    "FineTuningConfig",
    "LaBSE",
    "Preprocessor",
    "fine_tune",
    "gather_across_replicas",
    "grow",
    "load",
    "read_pairs",
]
