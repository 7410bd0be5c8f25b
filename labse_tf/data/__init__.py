"""From files of text and of translation pairs to batches of token ids."""
