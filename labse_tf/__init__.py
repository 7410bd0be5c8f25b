"""LaBSE, Language-agnostic BERT Sentence Embedding (arXiv 2007.01852), for TensorFlow."""

__version__ = "0.1.0"
