"""Sentences in, embeddings out."""
