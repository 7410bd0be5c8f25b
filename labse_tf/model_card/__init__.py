"""Model cards: the pages of a release for TF-Hub or Kaggle, and for Hugging Face."""

from labse_tf.model_card.card import write_cards
from labse_tf.model_card.claims import Claims

__all__ = ["Claims", "write_cards"]
