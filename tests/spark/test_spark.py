"""labse crawl on Spark, two executors of one core: equal to the local engine, whatever is killed.

Run by `make test-spark`; it needs Java.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.crawl.corpus import write_corpus

pytest.importorskip("pyspark", reason="needs pyspark: pip install '.[spark]'")
if not shutil.which("java"):
    pytest.skip("needs Java: apt-get install default-jre-headless", allow_module_level=True)

ROOT = Path(__file__).parents[2]
SPARK = ("--engine", "spark", "--master", "local-cluster[2,1,2048]")
WAIT_S = 900  # on a machine that does much else


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder, 330, 310)
    return folder


@pytest.fixture(scope="module")
def local(corpus, release, tmp_path_factory):
    """Checksums of a crawl by the local engine."""
    work = tmp_path_factory.mktemp("local") / "work"
    finish(start(corpus, release, work))
    assert len(list(work.glob("embed/*.npy"))) > 20
    return digests(work)


_started = []


@pytest.fixture(autouse=True)
def none_left():
    """Ends drivers that a failed test has left; their executors end with them."""
    yield
    for process in _started:
        process.kill()


def start(corpus, release, work, *arguments):
    command = [
        sys.executable, "-m", "labse_tf.commands.main", "crawl", "all", "--work", work,
        "--source", corpus / "de.txt", "--target", corpus / "en.txt",
        "--source-language", "de", "--target-language", "en", "--no-identify", "--no-split",
        "--min-length", "3", "--model", release, "--threads", "1", "--shard-rows", "25",
        "--lists", "6", "--source-lists", "3", "--target-lists", "2", "--group-rows", "400",
        "--min-score", "-9", *arguments,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("PYSPARK_PYTHON", None)
    log = open(f"{work}.log", "a", encoding="utf-8")
    process = subprocess.Popen(
        list(map(str, command)), cwd="/", env=environment, stdout=log, stderr=subprocess.STDOUT
    )
    process.log = log.name
    _started.append(process)
    return process


def finish(process):
    try:
        process.wait(WAIT_S)
    finally:
        process.kill()
    said = Path(process.log).read_text(encoding="utf-8")
    assert process.returncode == 0, said[-3000:]
    return said


def digests(work):
    return {
        str(path.relative_to(work)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(work).rglob("*"))
        if path.is_file() and path.suffix != ".json" and path.name != "lock"
    }


def states(work, pattern):
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in work.glob(pattern)}


def wait_for_shards(process, work, count):
    """Waits until so many shards are embedded, with their records."""
    end = time.monotonic() + WAIT_S
    while len(list(work.glob("embed/*-0*.json"))) < count:
        assert process.poll() is None and time.monotonic() < end, Path(process.log).read_text()
        time.sleep(0.02)


def descendants(process, of):
    """Process ids below a process whose command line has `of`, the first ones first."""
    parents, found = {process.pid}, []
    stats = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            stats.append((int(folder.name), parent, (folder / "cmdline").read_text()))
        except OSError:
            continue
    grown = True
    while grown:
        new = {pid for pid, parent, _ in stats if parent in parents} - parents
        parents |= new
        grown = bool(new)
    for pid, parent, command in sorted(stats):
        if pid in parents and of in command:
            found.append((pid, parent))
    return found


def a_python_worker(process):
    """A forked worker: a pyspark.daemon whose parent is one."""
    daemons = descendants(process, "pyspark.daemon")
    return next(pid for pid, parent in daemons if parent in {pid for pid, _ in daemons})


def test_equal_to_the_local_engine_byte_for_byte(corpus, release, local, tmp_path):
    said = finish(start(corpus, release, tmp_path / "work", *SPARK))
    assert digests(tmp_path / "work") == local
    assert "write    pairs" in said


def test_a_python_worker_and_an_executor_killed(corpus, release, local, tmp_path):
    work = tmp_path / "work"
    process = start(corpus, release, work, *SPARK)
    wait_for_shards(process, work, 3)
    os.kill(a_python_worker(process), signal.SIGKILL)
    wait_for_shards(process, work, 5)
    executors = descendants(process, "CoarseGrainedExecutorBackend")
    assert len(executors) == 2
    os.kill(executors[0][0], signal.SIGKILL)
    at_kill = len(list(work.glob("embed/*-0*.json")))
    finish(process)
    assert at_kill < 27 and digests(work) == local


def test_a_driver_killed_and_a_shard_cut_short(corpus, release, local, tmp_path):
    work = tmp_path / "work"
    process = start(corpus, release, work, *SPARK)
    wait_for_shards(process, work, 4)
    embedded = states(work, "embed/*-0*.json")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    arrays = {
        path.replace(".json", ".npy"): states(work, "embed/*.npy")[path.replace(".json", ".npy")]
        for path in embedded
    }
    time.sleep(1)  # tasks that were running end, or die with their executors
    finish(start(corpus, release, work, *SPARK))
    assert digests(work) == local
    assert 4 <= len(embedded) < 27
    now = states(work, "embed/*")
    assert {**embedded, **arrays}.items() <= now.items()  # nothing was embedded twice

    shard = work / "embed/source-00001.npy"
    with open(shard, "r+b") as file:
        file.truncate(shard.stat().st_size // 2)
    finish(start(corpus, release, work, *SPARK))
    assert digests(work) == local
    again = states(work, "embed/*")
    changed = {Path(path).name for path in now if now[path] != again[path]}
    assert changed == {"source-00001.json", "source-00001.npy", "manifest.json"}


def test_a_wrong_model_fails_without_a_java_traceback(corpus, release, tmp_path):
    process = start(corpus, tmp_path / "absent", tmp_path / "work", *SPARK)
    process.wait(WAIT_S)
    assert process.returncode == 2
    last = Path(process.log).read_text(encoding="utf-8").strip().splitlines()
    errors = [line for line in last if line.startswith("error: ")]
    assert len(errors) == 1 and "absent" in errors[0] and "embed: the model" in errors[0]
    assert not any(line.startswith("Traceback") for line in last)
