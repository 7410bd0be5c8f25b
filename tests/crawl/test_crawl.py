"""A crawl in this process: its pairs against brute force; interrupted, damaged, misused."""

import dataclasses
import gzip
import hashlib
import json
import os
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from labse_tf.commands.main import main
from labse_tf.crawl.crawl import crawl
from labse_tf.crawl.engine import LocalEngine
from labse_tf.crawl.extract import CrawlFile
from labse_tf.crawl.options import STAGES, CrawlOptions, thresholds_of
from labse_tf.crawl.run import Run, read_manifest
from labse_tf.crawl.spark import check_java, check_reached
from tests.crawl.corpus import (
    brute_force,
    with_options,
    without_near_duplicates,
    write_corpus,
)
from tests.crawl.warcs import gzipped, page, record, wet
from tests.models import make_model
from tests.running import call


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    return folder, *write_corpus(folder)


@pytest.fixture(scope="module")
def finished(corpus, release, tmp_path_factory):
    """A work folder of all stages, not to be changed."""
    work = tmp_path_factory.mktemp("crawl") / "work"
    run_crawl(corpus[0], work, model=str(release))
    return work


def files_of(folder):
    return [CrawlFile(folder / "de.txt", "source"), CrawlFile(folder / "en.txt", "target")]


def run_crawl(folder, work, stages=STAGES, redo=(), engine=None, **options):
    run = Run(work, with_options(**options), engine or LocalEngine(1, False), redo)
    return crawl(run, stages, files_of(folder) if "extract" in stages else ())


def copy_of(work, tmp_path):
    os.system(f"cp -rp {work} {tmp_path / 'copy'}")
    return tmp_path / "copy"


def pairs_of(work):
    lines = []
    for path in sorted(Path(work).glob("write/pairs-*.tsv.gz")):
        lines += gzip.decompress(path.read_bytes()).decode().splitlines()
    return [(float(score), *texts) for score, *texts in (line.split("\t") for line in lines)]


def states(work):
    """What would change if a file was written anew, by its path."""
    return {
        str(path.relative_to(work)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in sorted(Path(work).rglob("*"))
        if path.is_file() and path.name not in ("manifest.json", "lock")
    }


def digests(work):
    """Checksums of all files but those that say how they were made."""
    return {
        str(path.relative_to(work)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(work).rglob("*"))
        if path.is_file() and path.suffix != ".json" and path.name != "lock"
    }


def test_pairs_are_those_of_brute_force(corpus, finished, model):
    expected = brute_force(*corpus[1:], model.encode)
    found = pairs_of(finished)
    assert len(found) > 40
    assert {pair[1:3] for pair in found} == {pair[1:] for pair in expected}
    scores = {pair[1:]: pair[0] for pair in expected}
    for score, source, target, *urls in found:
        assert score == pytest.approx(scores[source, target], abs=2e-5) and urls == ["", ""]
    assert [pair[0] for pair in found] == sorted((pair[0] for pair in found), reverse=True)


def test_parquet_says_where_sentences_are_from(corpus, finished):
    rows = pq.ParquetFile(finished / "write/pairs-00000.parquet").read().to_pylist()
    assert [(r["source"], r["target"]) for r in rows] == [p[1:3] for p in pairs_of(finished)]
    for row in rows:
        for side, name, sentences in (("source", "de", corpus[1]), ("target", "en", corpus[2])):
            assert row[f"{side}_file"] == str(corpus[0] / f"{name}.txt")
            assert sentences[row[f"{side}_record"] - 1] == row[side]  # a record is a line
            assert row[f"{side}_language"] == name and row[f"{side}_position"] == 0
    facts = read_manifest(finished, "extract").facts
    kept = len(without_near_duplicates(corpus[1]))
    assert facts["counts"]["source near-duplicates"] == 60 - kept > 4
    assert facts["source"]["sentences"] == kept


@pytest.mark.parametrize(
    "options",
    [
        {"lists": 3, "source_lists": 3, "target_lists": 3, "group_rows": 40},
        {"shard_rows": 1000, "pairs_per_file": 7, "dedup_rows": 10, "rerank": 1000},
    ],
)
def test_the_same_pairs_in_other_pieces(corpus, finished, release, tmp_path, options):
    run_crawl(corpus[0], tmp_path, model=str(release), **options)
    assert pairs_of(tmp_path) == pairs_of(finished)
    if "pairs_per_file" in options:
        assert len(list(tmp_path.glob("write/pairs-*.gz"))) == -(-len(pairs_of(finished)) // 7)


def test_eight_bits_and_few_lists_are_near(corpus, finished, release, tmp_path):
    run_crawl(
        corpus[0], tmp_path, model=str(release),
        dtype="int8", lists=8, source_lists=2, target_lists=2,
    )  # fmt: skip
    exact = {pair[1:3]: pair[0] for pair in pairs_of(finished)}
    found = {pair[1:3]: pair[0] for pair in pairs_of(tmp_path)}
    assert len(exact.keys() & found.keys()) > 0.5 * len(exact)
    assert read_manifest(tmp_path, "search").facts["of_all"] < 1
    size = os.path.getsize(tmp_path / "embed/source-00000.npy")
    assert size < os.path.getsize(finished / "embed/source-00000.npy")


@pytest.mark.parametrize("strategy", ["forward", "backward", "mutual"])
def test_strategies_and_thresholds(corpus, finished, tmp_path, strategy):
    work = copy_of(finished, tmp_path)
    redo = ["score", "write"]
    run_crawl(corpus[0], work, redo, redo, strategy=strategy)
    found = pairs_of(work)
    sources, targets = ([pair[side] for pair in found] for side in (1, 2))
    if strategy in ("forward", "mutual"):
        assert len({*sources}) == len(sources)
    if strategy in ("backward", "mutual"):
        assert len({*targets}) == len(targets)
    facts = read_manifest(finished, "extract").facts
    if strategy != "mutual":
        side = "source" if strategy == "forward" else "target"
        assert len(found) == facts[side]["sentences"]
    middle = found[len(found) // 2][0]
    run_crawl(corpus[0], work, redo, redo, strategy=strategy, min_score=middle - 1e-6)
    assert pairs_of(work) == [pair for pair in found if pair[0] >= middle - 1e-6]
    run_crawl(
        corpus[0], work, redo, redo, strategy=strategy, thresholds=f"de={middle + 1e-6},en=0.1"
    )
    assert pairs_of(work) == [pair for pair in found if pair[0] >= middle + 1e-6]
    run_crawl(corpus[0], work, redo, redo, strategy=strategy, max_score=middle - 1e-6)
    assert pairs_of(work) == [pair for pair in found if pair[0] < middle - 1e-6]
    run_crawl(corpus[0], work, redo, redo, strategy=strategy, min_score=99)
    assert pairs_of(work) == []


def test_nothing_is_done_twice(corpus, finished, release, tmp_path):
    work = copy_of(finished, tmp_path)
    before = states(work)
    run_crawl(corpus[0], work, model=str(release))
    assert states(work) == before
    # The same model elsewhere is the same model.
    os.symlink(release, tmp_path / "elsewhere")
    run_crawl(corpus[0], work, ["embed"], model=str(tmp_path / "elsewhere"))
    assert states(work) == before


def test_damaged_shards_are_made_anew(corpus, finished, release, tmp_path):
    work = copy_of(finished, tmp_path)
    before, expected = states(work), digests(work)
    with open(work / "embed/source-00001.npy", "r+b") as file:
        file.truncate(100)
    with open(work / "extract/target-00002.parquet", "r+b") as file:
        file.seek(50)
        file.write(b"?")
    os.remove(work / "index/source-00000.npy")
    (work / "embed/target-00001.json").write_text("{")
    with pytest.raises(
        ValueError, match=r"1 files of extract .*target-00002\.parquet'.*crawl extr"
    ):
        run_crawl(corpus[0], work, ["embed"], model=str(release))
    run_crawl(corpus[0], work, model=str(release))
    assert digests(work) == expected
    changed = {name for name, state in states(work).items() if before[name] != state}
    assert changed == {
        "embed/source-00001.json", "embed/source-00001.npy",
        "extract/target-00002.json", "extract/target-00002.parquet",
        "extract/target-00002.languages.npy",
        "index/source-00000.json", "index/source-00000.npy", "index/source-00000.starts.npy",
        "embed/target-00001.json", "embed/target-00001.npy",
    }  # fmt: skip


class Interrupted(LocalEngine):
    """Ends after some items, as a driver that is killed."""

    def __init__(self, items):
        super().__init__(1, False)
        self._left = items

    def map(self, function, items, what):
        def limited(item):
            self._left -= 1
            if self._left < 0:
                raise KeyboardInterrupt
            return function(item)

        return super().map(limited, items, what)


def test_an_interrupted_crawl_goes_on(corpus, finished, release, tmp_path):
    kept, stops = {}, 0
    for items in (1, 9, 15, 25, 40, 60, 70, 200):
        try:
            run_crawl(corpus[0], tmp_path, engine=Interrupted(items), model=str(release))
        except KeyboardInterrupt:
            stops += 1
        now = states(tmp_path)
        assert kept.items() <= now.items()
        kept = now
    assert stops > 4 and digests(tmp_path) == digests(finished)


def test_another_input_makes_what_depends_on_it(corpus, release, tmp_path):
    (tmp_path / "more").mkdir()
    for name in ("de", "en"):
        text = (corpus[0] / f"{name}.txt").read_text(encoding="utf-8")
        (tmp_path / "more" / f"{name}.txt").write_text(text, encoding="utf-8")
    work, folder = tmp_path / "work", tmp_path / "more"
    run_crawl(folder, work, model=str(release))
    before = states(work)
    with open(folder / "en.txt", "a", encoding="utf-8") as file:
        file.write("the green apples sat so green\n")
    with pytest.raises(ValueError, match=r"other settings: files .*--redo extract"):
        run_crawl(folder, work, model=str(release))
    run_crawl(folder, work, redo=["extract"], model=str(release))
    now = states(work)
    same = [name for name in before if now[name] == before[name]]
    assert {f"embed/source-0000{i}.npy" for i in range(5)} <= {*same}
    assert "embed/target-00005.npy" not in same
    run_crawl(folder, tmp_path / "fresh", model=str(release))
    assert digests(work) == digests(tmp_path / "fresh")


def test_another_model_is_refused(corpus, finished, vocab_file, vocab_size, tmp_path, monkeypatch):
    work = copy_of(finished, tmp_path)
    other = make_model(vocab_file, vocab_size, seed=2), "sha256:other"
    monkeypatch.setattr("labse_tf.crawl.models.model_of_process", lambda *_: other)
    before = states(work)
    with pytest.raises(ValueError, match=r"embeddings are of another model \(sha256.*--redo embed"):
        run_crawl(corpus[0], work, model="other")
    assert states(work) == before
    everything = ["embed", "index", "search", "score", "write"]
    run_crawl(corpus[0], work, redo=["embed"], model="other")
    assert pairs_of(work) != pairs_of(finished)
    assert all(read_manifest(work, stage).finished for stage in everything)


def test_a_crawl_of_web_pages(release, tmp_path):
    german = ["Am 3. Mai kam Dr. Müller nach Köln. Das kostete ihn seinen ganzen Urlaub!",
              "Wie spät ist es denn jetzt eigentlich bei euch?"]  # fmt: skip
    english = ["Dr. Müller came to Cologne in May. It cost him all of his holidays!",
               "What time is it where you are, by the way?"]  # fmt: skip
    html = f"<html><body><main><p>{german[0]}</p><p>{english[1]}</p></main></body></html>"
    records = [*wet("\n".join(english)), page("http://page", html.encode()),
               record("conversion", "http://latin", german[1].encode("latin-1"))]  # fmt: skip
    members = gzipped(records)
    members.append(gzipped([record("conversion", "http://cut", b"a" * 99)])[0][:-9])
    (tmp_path / "a.warc.gz").write_bytes(b"".join(members))
    (tmp_path / "b.jsonl").write_text(
        json.dumps({"text": "\n".join([german[1].upper(), english[0]]), "url": "http://json"})
    )
    said = call(
        main, "crawl", "all", "--work", tmp_path / "work", "--input", tmp_path / "a.warc.gz",
        tmp_path / "b.jsonl", "--source-language", "deu", "--target-language", "en",
        "--model", release, "--min-score", "-9", "--k", "1", "--threads", "1",
    )  # fmt: skip
    assert "extract  counts: skipped: invalid UTF-8 1\n" in said
    assert said.splitlines()[-1] == f"{tmp_path / 'work/write/pairs-00000.parquet'}"
    work = tmp_path / "work"
    skipped = gzip.decompress((work / "extract/skipped.tsv.gz").read_bytes()).decode()
    starts = [sum(map(len, members[:i])) for i in (2, 3)]
    path = tmp_path / "a.warc.gz"
    assert skipped.splitlines() == [
        f"{path}\tbyte {starts[0]}\tinvalid UTF-8", f"{path}\tbyte {starts[1]}\tdamaged gzip"
    ]  # fmt: skip
    columns = ["url", "record", "position", "text", "language"]
    sides = {
        side: [
            tuple(row[name] for name in columns)
            for row in pq.ParquetFile(work / f"extract/{side}-00000.parquet").read().to_pylist()
        ]
        for side in ("source", "target")
    }
    first = "Am 3. Mai kam Dr. Müller nach Köln."
    assert sides["source"] == [
        ("http://page", 2, 0, first, "de"),
        ("http://page", 2, 1, "Das kostete ihn seinen ganzen Urlaub!", "de"),
        ("http://json", 1, 0, german[1].upper(), "de"),
    ]
    # Of the same sentence in two places the first one stays.
    assert [row[:3] for row in sides["target"]] == [("http://0", 1, i) for i in range(3)]
    assert {pair[3] for pair in pairs_of(work)} <= {"http://page", "http://json"}


def test_what_is_wrong_is_said_before_the_work(corpus, release, tmp_path):
    folder = corpus[0]

    def error(*arguments, base=True, stage="all"):
        files = ["--source", folder / "de.txt", "--target", folder / "en.txt"] if base else []
        languages = ["--source-language", "de", "--target-language", "en"] if base else []
        return call(
            main, "crawl", stage, "--work", tmp_path / "work", *files, *languages,
            "--no-identify", "--no-split", "--model", release, *arguments, status=2,
        )  # fmt: skip

    assert "'embd' is no stage; there are extract" in error(stage="embd")
    assert "There is no file" in error("--source", "absent.txt")
    assert "is given 2 times" in error("--target", folder / "de.txt")
    assert "No files were given" in error(
        "--source-language", "de", "--target-language", "en", base=False
    )
    assert "must be the ISO 639 code" in error("--source-language", "")
    assert "'xx' is not the code of one" in error("--source-language", "xx")
    assert "Thai (th) has no splitter" in error("--source-language", "th", "--split")
    assert "no-model" in error("--model", tmp_path / "no-model")
    said = error("--k", "70", "--rerank", "70")
    assert re.search(r"`k` \(=70\) is above the \d\d source sentences", said)
    assert "`dtype` (='int4') must be one of" in error("--dtype", "int4")
    assert "`rerank` (=2) must be from 4" in error("--rerank", "2")
    assert "'xx=1': 'xx' is not the code of one" in error("--thresholds", "xx=1")
    assert "--master and --spark-conf are for --engine spark" in error("--master", "yarn")
    (tmp_path / "empty.txt").write_text("")
    empty = error(
        "--source", tmp_path / "empty.txt", "--target", folder / "en.txt", "--source-language",
        "de", "--target-language", "en", "--work", tmp_path / "w", base=False,
    )  # fmt: skip
    assert "no source sentence (de) in 2 files of 75 lines (dropped: short line" in empty
    message = call(main, "crawl", "search", "--work", tmp_path / "other", status=2)
    assert "extract was not begun" in message and "run `labse crawl extract` first" in message
    message = call(main, "crawl", "index", "--work", tmp_path / "w", "--source", "x", status=2)
    assert "are for extract, which is not asked for" in message


def test_an_option_without_effect_is_refused(corpus, finished, tmp_path):
    work = copy_of(finished, tmp_path)
    with pytest.raises(ValueError, match=r"`k` \(=3\) is of search, .* was made with 4: leave it"):
        run_crawl(corpus[0], work, ["score"], k=3)
    run_crawl(corpus[0], work, ["score"])


def test_a_mixed_file_needs_identification(corpus, tmp_path):
    run = Run(tmp_path, with_options(), LocalEngine(1, False))
    with pytest.raises(ValueError, match=r"de\.txt' is of no side.*without --no-identify"):
        crawl(run, ["extract"], [CrawlFile(str(corpus[0] / "de.txt"), None)])


def test_two_drivers_are_not_let_into_one_folder(tmp_path):
    run = Run(tmp_path, with_options(), LocalEngine(1, False))
    with run.locked(), pytest.raises(ValueError, match="Another `labse crawl` works in"):
        crawl(run, ["score"])


def test_no_java_and_no_master(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(OSError, match=r"no `java` on the PATH: apt-get install default-jre"):
        check_java()
    monkeypatch.setenv("JAVA_HOME", "/nowhere/jdk")
    with pytest.raises(OSError, match=r"JAVA_HOME \(='/nowhere/jdk'\) has no bin/java"):
        check_java()
    with pytest.raises(OSError, match=r"master at 127\.0\.0\.1:1 cannot be reached: .*refused"):
        check_reached("127.0.0.1:1")
    with pytest.raises(ValueError, match=r"'spark://somewhere' must be spark://HOST:PORT"):
        check_reached("somewhere")


def test_options():
    fields = dataclasses.fields(CrawlOptions)
    of_stages = [name for stage in STAGES for name in CrawlOptions().of_stage(stage)]
    assert sorted(of_stages) == sorted(field.name for field in fields)
    assert thresholds_of(" deu=1.05, zh=1.1") == {"de": 1.05, "zh": 1.1}
    with pytest.raises(ValueError, match=r"must be as de=1\.05"):
        thresholds_of("de")
