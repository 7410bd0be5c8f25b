"""labse mine: pairs of two texts that are probably translations of each other."""

from __future__ import annotations

import argparse
import os
import shlex

from labse_tf.commands.flags import (
    MODEL_HELP,
    add_embedding_flags,
    add_flags,
    encode_options,
    from_flags,
)
from labse_tf.files.lines import ERRORS
from labse_tf.mining.options import MiningOptions
from labse_tf.models import NAME


def add_mine(commands) -> None:
    """Adds the command to the subparsers of `labse`."""
    parser = commands.add_parser(
        "mine",
        help="find the pairs of two texts that are translations",
        description="Finds the pairs of two texts that are probably translations, best first: "
        "`score TAB source TAB target`; OUTPUT.meta.tsv has ids, cosines and line numbers. An "
        "interrupted run goes on when it is started again.",
    )
    parser.add_argument(
        "files",
        nargs="*",
        metavar="SOURCE TARGET",
        help="UTF-8, a sentence a line or id TAB sentence, plain or .gz; or a pipe",
    )
    parser.add_argument("--output", metavar="FILE", help="TSV to write, .gz to compress it")
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")
    parser.add_argument(
        "--score", metavar="PAIRS",
        help="score these pairs (source TAB target) instead, in their order; neighbours are "
        "searched among their own sentences, and those of SOURCE TARGET if they are given",
    )  # fmt: skip
    parser.add_argument(
        "--dry-run", action="store_true", help="say how many sentences, bytes and hours it takes"
    )
    parser.add_argument("--source-embeddings", metavar="NPY", help="a row for each source line")
    parser.add_argument("--target-embeddings", metavar="NPY", help="a row for each target line")
    parser.add_argument(
        "--gold", metavar="FILE", help="pairs that are right, id TAB id, to measure with"
    )
    parser.add_argument("--report", metavar="DIR", help="write a page to choose a threshold by")
    parser.add_argument(
        "--errors", choices=ERRORS, default="strict", help="of invalid UTF-8 (default: strict)"
    )
    embedding = parser.add_argument_group("embedding")
    embedding.add_argument(
        "--model",
        help=f"{MODEL_HELP} (default: {NAME}, unless embeddings of both sides are given)",
    )
    add_embedding_flags(embedding)
    add_flags(parser.add_argument_group("what is a pair, and which stay"), MiningOptions)
    parser.set_defaults(run=_mine)


def _mine(flags: argparse.Namespace) -> None:
    options = MiningOptions(**from_flags(flags, MiningOptions))
    if len(flags.files) not in ((0, 2) if flags.score else (2,)):
        raise ValueError(f"Two files, SOURCE and TARGET, are needed, but got {len(flags.files)}.")
    if flags.output is None and not flags.dry_run:
        raise ValueError("--output is needed: where to write the pairs.")
    model = {
        "load_options": {"precision": flags.precision, "backend": flags.backend},
        "encode_options": encode_options(flags),
    }
    if flags.score:
        return _score(flags, options, model)
    if flags.dry_run:
        from labse_tf.mining.plan import plan

        print("\n".join(plan(*flags.files, flags.model, options, errors=flags.errors, **model)))
        return
    from labse_tf.mining.mine_files import mine_files
    from labse_tf.mining.report.describe import described

    facts = mine_files(
        *flags.files,
        flags.output,
        flags.model,
        options,
        source_embeddings=flags.source_embeddings,
        target_embeddings=flags.target_embeddings,
        gold=flags.gold,
        report=flags.report,
        errors=flags.errors,
        overwrite=flags.overwrite,
        command=shlex.join(["labse", *flags.arguments]),
        **model,
    )
    for name, value in described(facts, options):
        print(f"{name}: {value}")
    if flags.report:
        print(os.path.join(flags.report, "index.html"))


def _score(flags: argparse.Namespace, options, model: dict) -> None:
    for name in ("gold", "report", "source_embeddings", "target_embeddings", "dry_run"):
        if getattr(flags, name):
            raise ValueError(f"--{name.replace('_', '-')} is not for --score.")
    from labse_tf.mining.scoring import score_pairs

    count = score_pairs(
        flags.score,
        flags.output,
        flags.model,
        options,
        background=flags.files or None,
        errors=flags.errors,
        overwrite=flags.overwrite,
        **model,
    )
    print(f"{flags.output}: {count:,} pairs")
