"""The one console script: `labse COMMAND`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from labse_tf.commands.client import add_client
from labse_tf.commands.convert import add_convert
from labse_tf.commands.crawl import add_crawl
from labse_tf.commands.encode import add_encode
from labse_tf.commands.evaluate import add_evaluate, join_report
from labse_tf.commands.flags import run_program
from labse_tf.commands.mine import add_mine
from labse_tf.commands.prune import add_prune
from labse_tf.commands.quantize import add_quantize
from labse_tf.commands.similarity import add_similarity


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `labse`; `arguments` are those of the process if they are None."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    run_program(_run, arguments)


def _run(arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(
        prog="labse",
        description="Sentence embeddings with LaBSE.",
        epilog="With LABSE_TRACEBACK=1 in the environment errors come with their tracebacks.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (
        add_encode,
        add_client,
        add_evaluate,
        add_mine,
        add_crawl,
        add_similarity,
        add_convert,
        add_prune,
        add_quantize,
    ):
        add(commands)
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    # TensorFlow takes seconds to import: commands import it when their flags are right.
    flags = parser.parse_args(join_report(arguments), argparse.Namespace(arguments=arguments))
    flags.run(flags)


if __name__ == "__main__":
    main()
