"""Whether a SavedModel keeps the promises of the release format."""

from labse_tf.verification.judge import Finding, table, verify

__all__ = ["Finding", "table", "verify"]
