"""The encoder: its configuration, layers and precision, and encoders derived from another."""
