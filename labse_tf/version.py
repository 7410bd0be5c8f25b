"""The version of labse_tf, in one place that imports nothing."""

__version__ = "0.1.0"
