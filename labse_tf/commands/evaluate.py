"""labse evaluate: the paper's benchmarks on a model; and labse evaluate report."""

from __future__ import annotations

import argparse
import collections
import os
import shlex
import sys
import warnings

from labse_tf.commands.flags import MODEL_HELP, add_embedding_flags, encode_options
from labse_tf.models import NAME

REPORT = "evaluate report"


def add_evaluate(commands) -> None:
    """Adds `evaluate` and `evaluate report` to the subparsers of `labse`."""
    parser = commands.add_parser(
        "evaluate",
        help="the paper's benchmarks",
        description="Measures a model. tatoeba comes with labse_tf; the others need a directory, "
        "as sts=DIR: a wrong one is answered with what belongs there and where to get it. "
        "A language or task that fails is listed at the end, and the exit status is 1.",
    )
    parser.add_argument(
        "model_and_benchmarks",
        nargs="+",
        metavar="[MODEL] BENCHMARK[=DIR]",
        help=f"MODEL (default: {NAME}): {MODEL_HELP}; a directory that is called like a benchmark "
        "is written ./NAME. BENCHMARK: tatoeba, retrieval, mining, sts, senteval",
    )
    parser.add_argument("--output", metavar="FILE", help="JSON file to write the results to")
    parser.add_argument("--name", help="of the model in the results (default: MODEL)")
    parser.add_argument(
        "--languages", nargs="+", default=(), metavar="CODE",
        help="of tatoeba, retrieval and sts, as in their files' names (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--all-pairs", action="store_true", help="each language with each, in retrieval and sts"
    )
    parser.add_argument(
        "--equal-sentences",
        action="store_true",
        help="in tatoeba and retrieval, count a neighbour that reads the same as the right one",
    )
    parser.add_argument("--split", help="of sts (default: test)")
    parser.add_argument("--folds", type=int, help="of senteval's cross-validations (default: 10)")
    add_embedding_flags(parser)
    parser.set_defaults(run=_evaluate)

    report = commands.add_parser(REPORT, help="a page, a text and a picture of results")
    report.add_argument("results", nargs="+", metavar="JSON", help="what labse evaluate wrote")
    report.add_argument(
        "--output",
        required=True,
        metavar="NAME",
        help="name of NAME.html, NAME.md and, if matplotlib is installed, NAME.png",
    )
    report.add_argument("--overwrite", action="store_true", help="replace what is there")
    report.set_defaults(run=_report)


def join_report(arguments: list[str]) -> list[str]:
    """Arguments with "evaluate report" as the one command that it is."""
    if arguments[:2] == REPORT.split():
        return [REPORT, *arguments[2:]]
    return arguments


def _evaluate(flags: argparse.Namespace) -> None:
    if flags.output is not None and os.path.lexists(flags.output):
        raise FileExistsError(f"{flags.output!r} exists. Choose another path, or remove it.")
    from labse_tf.evaluation.results import failures, measure

    known = _known()
    source, benchmarks = NAME, flags.model_and_benchmarks
    if benchmarks[0].partition("=")[0] not in known:
        source, *benchmarks = benchmarks
    if not benchmarks:
        raise ValueError(f"Which benchmarks of {source!r}? There are {', '.join(known)}.")
    benchmarks = _benchmarks(flags, benchmarks, known)
    for benchmark, data_dir in benchmarks:  # before the model is read
        benchmark.check(data_dir)
    import labse_tf
    from labse_tf.inference.embedder import SentenceWarning

    model = labse_tf.load(source, precision=flags.precision, backend=flags.backend)
    options = encode_options(flags)
    counts: collections.Counter[str] = collections.Counter()

    def encode(sentences: list[str]):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            embeddings = model.encode(sentences, show_progress=False, **options)
        for warning in caught:
            if isinstance(warning.message, SentenceWarning):  # reported once, at the end
                counts[warning.message.reason] += warning.message.count
            else:
                warnings.warn_explicit(
                    warning.message, warning.category, warning.filename, warning.lineno
                )
        return embeddings

    results = measure(
        encode,
        benchmarks,
        model={
            "name": flags.name or source,
            "fingerprint": model.fingerprint(),
            "precision": model.compute_dtype,
            "backend": flags.backend,
            "dim": model.dim,
            "seq_length": model.seq_length,
        },
        command=shlex.join(["labse", *flags.arguments]),
        output=flags.output,
        show_metrics=True,
        show_progress=None,
    )
    for reason, count in counts.items():
        print(f"{count:,} sentences {reason}")
    if flags.output:
        print(f"{flags.output}: {results['seconds']:,.0f} seconds")
    if failed := failures(results):
        print("Failed:", *failed, sep="\n  ", file=sys.stderr)
        sys.exit(1)


def _known() -> dict[str, type]:
    """The evaluators by their names."""
    import labse_tf.evaluation as evaluation

    return {
        kind.name: kind
        for kind in (
            evaluation.Tatoeba,
            evaluation.Retrieval,
            evaluation.Mining,
            evaluation.STS,
            evaluation.SentEval,
        )
    }


def _benchmarks(flags: argparse.Namespace, named: list[str], known: dict[str, type]) -> list[tuple]:
    """The evaluators that were asked for, with the options that were given, and directories."""
    given = {
        "languages": tuple(flags.languages),
        "all_pairs": flags.all_pairs,
        "equal_sentences": flags.equal_sentences,
        "split": flags.split,
        "folds": flags.folds,
    }
    given = {option: value for option, value in given.items() if value}
    benchmarks, used = [], set()
    for text in named:
        name, _, data_dir = text.partition("=")
        if name not in known:
            raise ValueError(f"{name!r} is no benchmark; there are {', '.join(known)}.")
        fields = known[name].__dataclass_fields__
        options = {option: value for option, value in given.items() if option in fields}
        used |= set(options)
        benchmarks.append((known[name](**options), data_dir or None))
    if unused := sorted(set(given) - used):
        raise ValueError(f"--{unused[0].replace('_', '-')} is for none of {', '.join(named)}.")
    return benchmarks


def _report(flags: argparse.Namespace) -> None:
    from labse_tf.evaluation.report.write import write_report

    print("\n".join(write_report(flags.results, flags.output, overwrite=flags.overwrite)))
