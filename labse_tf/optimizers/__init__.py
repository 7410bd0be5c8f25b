"""AdamW, learning rates, gradients."""
