"""python -m export.verify: whether a SavedModel keeps the promises of a release."""

from __future__ import annotations

import argparse
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from labse_tf.commands.flags import run_program
from labse_tf.release.verification.judge import table, verify


def main(arguments: list[str] | None = None) -> None:
    """Prints a table; exits with 1 if a promise does not hold."""
    parser = argparse.ArgumentParser(
        prog="export.verify",
        description="Reads a SavedModel in fresh processes that cannot import labse_tf, and tells "
        "which promises of the release format hold. Exits with 1 if one does not.",
    )
    parser.add_argument("model", metavar="MODEL", help="directory of a SavedModel")
    parser.add_argument(
        "--against", metavar="OTHER", help="a SavedModel whose embeddings must be the same"
    )
    flags = parser.parse_args(arguments)
    findings = verify(flags.model, flags.against)
    print(table(findings))
    broken = sum(not finding.holds for finding in findings)
    print(f"{len(findings) - broken} of {len(findings)} promises hold")
    sys.exit(bool(broken))


if __name__ == "__main__":
    run_program(main)
