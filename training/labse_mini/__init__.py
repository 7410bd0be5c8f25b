"""The recipe of labse-mini, the model in the package."""
