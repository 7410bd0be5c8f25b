"""A crawl by the local engine: what each stage costs a sentence, and how it grows.

The sample's pairs, shuffled, a side each, and of more than these two one after the other; of 30%
of them the partner is missing. Costs are in seconds of processor time, of all threads together, so
that they are those of a core. extract is measured with languages identified and lines split (at
the smallest size), and with neither, as for the others.
"""

import argparse
import functools
import gzip
import os
import resource
import shutil
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from labse_tf.models import NAME
from tests.benchmark.sample import joined_pairs, sample_pairs

ROOT = Path(__file__).parents[2]
SIZES = (10_000, 100_000)
_ROW = "{:>9} {:8} {:>20} {:>14} {:>8}"
OPTIONS = {"source_language": "de", "target_language": "en", "min_length": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=NAME)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "crawl")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="sentences a side")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--search-precision", default="float32")
    parser.add_argument("--rerank", type=int, default=64)
    flags = parser.parse_args()
    pairs = sample_pairs()
    print(_ROW.format("sentences", "stage", "sentences/s and core", "bytes/sentence", "wall s"))
    for size in flags.sizes:
        _measure(flags, pairs, size)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory {peak:.2f} GiB")


def _measure(flags, pairs: list[list[str]], size: int) -> None:
    from labse_tf.crawl.crawl import crawl
    from labse_tf.crawl.engine import LocalEngine
    from labse_tf.crawl.extract import CrawlFile
    from labse_tf.crawl.options import STAGES, CrawlOptions
    from labse_tf.crawl.run import Run, read_manifest

    shared = int(size * 0.7)
    if 2 * size - shared > len(pairs):
        pairs = joined_pairs(pairs, 2 * size - shared)
    folder = flags.folder / str(size)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    sides = {
        "source": [pair[0] for pair in pairs[:size]],
        "target": [pair[1] for pair in (*pairs[:shared], *pairs[size : 2 * size - shared])],
    }
    files = []
    for side, texts in sides.items():
        files.append(CrawlFile(str(folder / f"{side}.txt"), side))
        Path(files[-1].path).write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    engine = LocalEngine(flags.threads, show_progress=False)
    if size == min(flags.sizes):
        whole = Run(folder / "identified", CrawlOptions(**OPTIONS), engine)
        work = functools.partial(crawl, whole, ["extract"], files)
        _timed("identify", work, folder / "identified", 2 * size)
    options = CrawlOptions(
        **OPTIONS, identify=False, split=False, model=flags.model,
        search_precision=flags.search_precision, rerank=flags.rerank,
    )  # fmt: skip
    run = Run(folder / "work", options, engine)
    for stage in STAGES:
        given = files if stage == "extract" else ()
        work = functools.partial(crawl, run, [stage], given)
        _timed(stage, work, folder / "work" / stage, 2 * size)
    facts = {stage: read_manifest(run.folder, stage).facts for stage in STAGES}
    true = {f"{s}\t{t}" for s, t in pairs[:shared]}
    found = set()
    for path in (folder / "work" / "write").glob("*.tsv.gz"):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            found |= {"\t".join(line.split("\t")[1:3]) for line in lines}
    lists, share = facts["index"]["lists"], facts["search"]["of_all"]
    print(f"{size:9,} {lists} lists, {share:.1%} of all comparisons, {len(found):,} pairs,")
    print(f"          of {len(true):,} known ones {len(found & true):,}")


def _timed(stage: str, work, folder: Path, sentences: int) -> None:
    wall, core = time.perf_counter(), time.process_time()
    work()
    wall, core = time.perf_counter() - wall, time.process_time() - core
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    costs = f"{sentences / core:,.0f}", f"{size / sentences:,.0f}", f"{wall:.1f}"
    print(_ROW.format(f"{sentences // 2:,}", stage, *costs), flush=True)


if __name__ == "__main__":
    main()
