"""The files that the commands of README pages name, small."""

from __future__ import annotations

import gzip
import itertools
import json
import shutil
from pathlib import Path

from tests.crawl.warcs import gzipped, record
from tests.planted import write
from tests.readme.pages import ROOT
from tests.report_results import result

SAMPLE = ROOT / "training" / "sample"
RELEASES = ("release", "build/demo/model", "build/demo/copy")
PAIRS = 60


def write_inputs(folder: Path, release: Path) -> None:
    """Writes into a folder what pages take for granted: releases, sentences, pairs, test sets."""
    for name in RELEASES:
        shutil.copytree(release, folder / name)
    _write_pairs(folder)
    sentences = ["Where is the station?", "Tom likes green apples.", "", "Wie spät ist es?"]
    write(folder / "sentences.txt", sentences)
    for name in ("sentences.txt.gz", "crawl-1.gz", "crawl-2.gz"):
        (folder / name).write_bytes(gzip.compress("\n".join(sentences).encode()))
    write(folder / "corpus.jsonl", [json.dumps({"text": text}) for text in sentences])
    write(folder / "pairs.tsv", [f"{text}\t{text}" for text in sentences])
    (folder / "other.json").write_text(json.dumps(result()), encoding="utf-8")
    _write_test_sets(folder)
    _write_crawl(folder / "crawl")


def _write_pairs(folder: Path) -> None:
    """Of the sample: DATA, PAIRS and SOURCE_DIR with <code>-eng.tsv.gz, and two of them outside."""
    for path in (*SAMPLE.glob("*.train.tsv.gz"), *SAMPLE.glob("*.heldout.tsv.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            lines = list(itertools.islice(file, PAIRS))
        _compress(folder / "training" / "sample" / path.name, lines)
        if ".train." in path.name:
            name = path.name.replace(".train", "")
            for directory in ("DATA", "PAIRS", *(["."] if name[:3] in ("deu", "jpn") else [])):
                _compress(folder / directory / name, lines)
            with_sources = [line.rstrip("\n") + "\ttatoeba\n" for line in lines]
            _compress(folder / "SOURCE_DIR" / name, with_sources)
        elif path.name.startswith("deu"):
            (folder / "dev.tsv").write_text("".join(lines), encoding="utf-8")


def _write_crawl(folder: Path) -> None:
    """Two WET files, a page each, of German and English lines of the sample."""
    folder.mkdir()
    with gzip.open(SAMPLE / "deu-eng.train.tsv.gz", "rt", encoding="utf-8") as file:
        pairs = [line.rstrip("\n").split("\t")[:2] for line in itertools.islice(file, PAIRS)]
    for number, side in enumerate(zip(*pairs)):
        (page,) = gzipped([record("conversion", f"http://page-{number}", "\n".join(side).encode())])
        (folder / f"{number}.warc.wet.gz").write_bytes(page)


def _compress(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("".join(lines).encode()))


def _write_test_sets(folder: Path) -> None:
    """Directories of the benchmarks, and of files to exclude from training."""
    words = ["cat", "mat", "green", "apple", "station", "key"]
    texts = [f"The {a} and the {b} {i}" for i, (a, b) in enumerate(zip(words * 6, words[::-1] * 6))]
    for name in ("tatoeba", "bucc", "stsb", "downstream"):
        (folder / name).mkdir()
    write(folder / "tatoeba" / "tatoeba.deu-eng.deu", ["Wie spät ist es?"])
    for code in ("eng", "deu"):
        lines = [f"{text} {code}\n" for text in texts]
        _compress(folder / "ntrex" / f"newstest2019-ref.{code}.txt.gz", lines)
    for code in ("de", "en"):
        lines = [f"{code}-{i}\t{text} {code}" for i, text in enumerate(texts)]
        write(folder / "bucc" / f"de-en.{code}", lines)
    write(folder / "bucc" / "de-en.gold", [f"de-{i}\ten-{i}" for i in range(10)])
    write(
        folder / "stsb" / "en-test.tsv", [f"{i % 6}\t{t}\t{t[::-1]}" for i, t in enumerate(texts)]
    )
    labelled = [f"{i % 2} {text}" for i, text in enumerate(texts)]
    for name in ("rt-polarity.all", "custrev.all", "subj.all", "mpqa.all"):
        write(folder / "downstream" / name, labelled)
    for split in ("train", "dev", "test"):
        write(folder / "downstream" / f"stsa.binary.{split}", labelled)
    for split in ("train", "test"):
        questions = [f"{i % 6} {text} ?" for i, text in enumerate(texts)]
        write(folder / "downstream" / f"TREC.{split}.all", questions)
        pairs = ["Quality\t#1 ID\t#2 ID\t#1 String\t#2 String"]
        pairs += [f"{i % 2}\t1\t2\t{text}\t{text} again" for i, text in enumerate(texts)]
        write(folder / "downstream" / f"msr_paraphrase_{split}.txt", pairs)
