"""Whether a SavedModel keeps the promises of the release format."""

from labse_tf.release.verification.judge import Finding, table, verify

__all__ = ["Finding", "table", "verify"]
