"""python -m export.verify: whether a SavedModel meets the release format."""

from __future__ import annotations

import argparse
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from labse_tf.commands.flags import run_program
from labse_tf.models import NAME, named
from labse_tf.release.verification import table, verify


def main(arguments: list[str] | None = None) -> None:
    """Prints a table; exits with 1 if a check fails."""
    parser = argparse.ArgumentParser(
        prog="export.verify",
        description="Inspects a SavedModel in fresh processes that cannot import labse_tf, and "
        "checks it against the release format. Exits with 1 if a check fails.",
    )
    parser.add_argument("model", metavar="MODEL", help=f"directory of a SavedModel, or {NAME}")
    parser.add_argument(
        "--against",
        metavar="OTHER",
        help=f"SavedModel whose embeddings must be the same: a directory, or {NAME}",
    )
    flags = parser.parse_args(arguments)
    against = None if flags.against is None else named(flags.against)
    results = verify(named(flags.model), against)
    print(table(results))
    failed = sum(not result.passed for result in results)
    print(f"{len(results) - failed} of {len(results)} checks passed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    run_program(main)
