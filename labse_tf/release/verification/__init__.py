"""Whether a SavedModel meets the release format: checks of what a fresh process gets from it."""

from labse_tf.release.verification.checks import constant_dimensions
from labse_tf.release.verification.run_checks import CheckResult, table, verify

__all__ = ["CheckResult", "constant_dimensions", "table", "verify"]
