"""labse crawl: bitext from WARC, WET, text, JSONL or Parquet, stage by stage."""

from __future__ import annotations

import argparse
import logging

from labse_tf.commands.flags import add_flags, from_flags
from labse_tf.crawl.options import STAGES, CrawlOptions

_ENGINES = ("local", "spark")


def add_crawl(commands) -> None:
    """Adds the command to the subparsers of `labse`."""
    parser = commands.add_parser(
        "crawl",
        help="bitext from a crawl, on one machine or on a Spark cluster",
        description="Stages of shard files in a work folder: extract, embed, index, search, score, "
        "write; or all. What is done is not done again; after a kill it goes on. The pairs are "
        "WORK/write/pairs-*.tsv.gz (score, source, target, URLs of both) and .parquet.",
    )
    parser.add_argument("stage", nargs="+", metavar="STAGE", help=f"{', '.join(STAGES)}; or all")
    parser.add_argument(
        "--work", required=True, metavar="DIR",
        help="the work folder; of a cluster, a path that every machine sees",
    )  # fmt: skip
    for name, what in (
        ("input", "files of both sides, whose lines' languages decide"),
        ("source", "files of sources"),
        ("target", "files of targets"),
    ):
        parser.add_argument(
            f"--{name}", nargs="+", action="extend", default=[], metavar="FILE",
            help=f"of extract: {what}: .warc, .wet, .jsonl, .parquet or text, plain or .gz",
        )  # fmt: skip
    parser.add_argument(
        "--redo", action="append", default=[], choices=STAGES,
        help="a stage that is made anew where its settings or its model are others than before",
    )  # fmt: skip
    parser.add_argument("--engine", choices=_ENGINES, default="local", help="(default: local)")
    parser.add_argument(
        "--threads", type=int, default=0,
        help="of TensorFlow in each process (default: all cores; spark: those of a task)",
    )  # fmt: skip
    parser.add_argument("--master", help="of spark, as spark://host:7077, yarn, local-cluster[...]")
    parser.add_argument(
        "--spark-conf", action="append", default=[], metavar="KEY=VALUE",
        help="of spark, as spark.executor.memory=8g",
    )  # fmt: skip
    parser.set_defaults(run=_crawl)
    add_flags(parser, CrawlOptions)


def _crawl(flags: argparse.Namespace) -> None:
    from labse_tf.crawl.crawl import crawl
    from labse_tf.crawl.engine import LocalEngine
    from labse_tf.crawl.extract import CrawlFile
    from labse_tf.crawl.run import Run, read_manifest

    stages = STAGES if "all" in flags.stage else flags.stage
    for name in stages:
        if name not in STAGES:
            raise ValueError(f"{name!r} is no stage; there are {', '.join(STAGES)}, and all.")
    files = [CrawlFile(path, None) for path in flags.input]
    files += [CrawlFile(path, "source") for path in flags.source]
    files += [CrawlFile(path, "target") for path in flags.target]
    if files and "extract" not in stages:
        raise ValueError("--input, --source and --target are for extract, which is not asked for.")
    if flags.engine == "local" and (flags.master or flags.spark_conf):
        raise ValueError("--master and --spark-conf are for --engine spark.")
    options = CrawlOptions(**from_flags(flags, CrawlOptions))
    logging.basicConfig(format="%(message)s")
    logging.getLogger("labse_tf.crawl").setLevel(logging.INFO)
    if flags.engine == "local":
        engine = LocalEngine(flags.threads)
    else:
        from labse_tf.crawl.spark import SparkEngine

        engine = SparkEngine(flags.master, dict(map(_setting, flags.spark_conf)), flags.threads)
    with engine:
        run = Run(flags.work, options, engine, flags.redo)
        written = crawl(run, stages, files)
    for stage in stages:
        for name, value in _figures(read_manifest(run.folder, stage).facts):
            print(f"{stage:8} {name} {value}")
    for path in written:
        print(path)


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--spark-conf {text!r} must be KEY=VALUE, as spark.executor.memory=8g.")
    return key, value


def _figures(facts: dict):
    """The numbers of a stage, to be said."""
    for name, value in facts.items():
        if isinstance(value, dict):
            yield from ((f"{name}: {of}", number) for of, number in _figures(value))
        elif isinstance(value, int):
            yield name, f"{value:,}"
        elif isinstance(value, float):
            yield name, f"{value:.4g}"
