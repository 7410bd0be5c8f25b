"""Translation ranking and pre-training under every strategy."""
