"""Files, without TensorFlow: whole writes, lines of text, embeddings that grow, checksums."""
