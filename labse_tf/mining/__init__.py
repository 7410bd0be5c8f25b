"""Bitext mining: two texts in, pairs that are probably translations out."""
