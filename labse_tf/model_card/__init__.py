"""Model cards: the pages of a release for TF-Hub or Kaggle, and for Hugging Face."""

from labse_tf.model_card.card import PAGES, write_cards
from labse_tf.model_card.claims import Claims

__all__ = ["PAGES", "Claims", "write_cards"]
