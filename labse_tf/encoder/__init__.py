"""The encoder: its shape, layers, arithmetic, and what makes another of it."""
