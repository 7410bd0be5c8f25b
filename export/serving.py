"""python -m export.serving: a release as the next version of a model for TensorFlow Serving."""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from labse_tf.commands.flags import run_program
from labse_tf.models import NAME as LABSE_MINI
from labse_tf.models import named
from labse_tf.release.batch_sizes import BATCH_SIZES
from labse_tf.serving.directory import add_version
from labse_tf.serving.templates import NAME


def main(arguments: list[str] | None = None) -> None:
    """Adds the version and says where it is."""
    parser = argparse.ArgumentParser(
        prog="export.serving",
        description="Adds a release to a directory that TensorFlow Serving serves, with warm-up "
        "requests, the server's configuration and a docker-compose.yml.",
    )
    parser.add_argument("release", metavar="MODEL", help=f"directory of a release, or {LABSE_MINI}")
    parser.add_argument("directory", metavar="DIR", help="is made if it does not exist")
    parser.add_argument("--name", default=NAME, help=f"the model's name (default: {NAME})")
    parser.add_argument(
        "--batch-sizes",
        type=int,
        nargs="+",
        default=BATCH_SIZES,
        metavar="N",
        help="sentences that batches are filled up to, increasing; the last is the most that a "
        f"request may have (default: {' '.join(map(str, BATCH_SIZES))})",
    )
    flags = parser.parse_args(arguments)
    version, kept = add_version(
        named(flags.release), flags.directory, name=flags.name, batch_sizes=flags.batch_sizes
    )
    print(version)
    for name in kept:
        print(f"{os.path.join(flags.directory, name)} is your own and was left as it is")


if __name__ == "__main__":
    run_program(main)
