"""The recipe of labse-small, the Transformer in the package."""
