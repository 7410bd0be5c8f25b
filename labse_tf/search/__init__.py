"""Exact nearest neighbours, margins, accuracy of retrieval."""
