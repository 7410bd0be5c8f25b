"""The paper's experiments at tiny size: what they write, what they share, what they read back."""

import gzip
import json
import re
import statistics
import struct

import numpy as np
import pytest

from labse_tf.data.pair_files import read_columns
from labse_tf.training.run_directory import load_run
from tests.fresh import fresh
from tests.running import untraced
from training.experiments import (
    comparison,
    cross_replica,
    hard_negatives,
    margin,
    pretraining,
    runs,
)

WORDS = "the cat sat on mat and saw a green apple with Tom near old trees".split()
FLAGS = (
    "--languages deu,fra --max-pairs 60 --seq-length 16 --seeds 1 --steps 2 "
    "--batch-size 8 --warmup-steps 1 --keep-checkpoints 3 --vocab-size 150 --hidden-size 8 "
    "--num-heads 2 --num-layers 0 --intermediate-size 8"
).split()


def sentences(count, seed):
    rng = np.random.default_rng(seed)
    english = [" ".join(rng.choice(WORDS, rng.integers(2, 8))) for _ in range(count)]
    return [" ".join(w[::-1] for w in text.split()) for text in english], english


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Pairs of three languages, and a Tatoeba test of two."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "tatoeba").mkdir()
    for number, code in enumerate(["deu", "fra", "xxx"]):
        with gzip.open(folder / f"{code}-eng.tsv.gz", "wt") as file:
            for source, target in zip(*sentences(80, number)):
                file.write(f"{source}\t{target}\ttatoeba\n")
        for side, texts in zip((code, "eng"), sentences(20, 10 + number)):
            path = folder / "tatoeba" / f"tatoeba.{code}-eng.{side}"
            path.write_text("\n".join(texts) + "\n")
    return folder


@pytest.fixture
def eagerly():
    with untraced():
        yield


def arguments(data, workdir, *more):
    return [
        "--pairs", str(data), "--tatoeba", str(data / "tatoeba"), "--workdir", str(workdir),
        *FLAGS, *more,
    ]  # fmt: skip


def check_report(workdir, names, seeds=1):
    """The table against results.json, and that against the runs' own files, one measured anew."""
    assert sorted(p.name for p in (workdir / "report").iterdir()) == [
        "plot.png", "results.json", "table.md",
    ]  # fmt: skip
    table = (workdir / "report" / "table.md").read_text().splitlines()
    results = json.loads((workdir / "report" / "results.json").read_text())
    assert [run["name"] for run in results["runs"]] == names
    assert list(results["pairs"].values()) == [60, 60]
    accuracies = {}
    for run in results["runs"]:
        assert [measured["seed"] for measured in run["measured"]] == list(range(seeds))
        for measured in run["measured"]:
            figures = json.loads(run_file(workdir, run["name"], measured["seed"], "tatoeba.json"))
            figures = figures["benchmarks"][0]["figures"]
            mean = (figures["deu/accuracy"] + figures["fra/accuracy"]) / 2
            assert measured["accuracy"] == pytest.approx(mean)
        accuracies[run["name"]] = [100 * measured["accuracy"] for measured in run["measured"]]
    for run in results["runs"]:
        values, base = accuracies[run["name"]], accuracies[results["against"]]
        row = next(line for line in table if line.startswith(f"| {run['name']} | "))
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        gains = np.subtract(values, base)
        assert cells[1].split(" ± ")[0] == f"{np.mean(values):.2f}"
        assert cells[2].split(" ± ")[0] == (
            "" if run["name"] == results["against"] else f"{np.mean(gains):+.2f}"
        )
        if seeds > 1:
            assert cells[1].endswith(f"± {statistics.stdev(values):.2f}")
    png = (workdir / "report" / "plot.png").read_bytes()
    assert png.startswith(b"\x89PNG\r\n") and len(png) > 5000
    width, height = struct.unpack(">II", png[16:24])
    assert 600 < width < 1200 and 150 < height < 900
    return results


def run_file(workdir, name, seed, file):
    folder = re.sub(r"[ ,%]+", "-", name)
    return (workdir / "runs" / folder / f"seed-{seed}" / file).read_text()


def read(folder, step=None):
    return [w.numpy() for w in load_run(folder, step).encoder.weights]


def assert_same(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def no_training(*_, **__):
    raise AssertionError("a finished run was trained again")


def test_margins(eagerly, data, tmp_path, monkeypatch, capfd):
    margin.main(arguments(data, tmp_path, "--seeds", "2"))
    names = ["margin 0", "margin 0.3"]
    check_report(tmp_path, names, seeds=2)
    table = (tmp_path / "report" / "table.md").read_text()
    assert table.strip() in capfd.readouterr().out
    folders = {name: tmp_path / "runs" / name.replace(" ", "-") for name in names}
    for name, folder in folders.items():
        settings = json.loads((folder / "seed-1" / "config.json").read_text())["settings"]
        assert settings["margin"] == float(name.split()[1]) and settings["seed"] == 1
    # From the same weights, which are the seed's; and to others.
    starts = {(n, s): read(f / f"seed-{s}", 0) for n, f in folders.items() for s in (0, 1)}
    for seed in (0, 1):
        assert_same(starts["margin 0", seed], starts["margin 0.3", seed])
    assert np.abs(starts["margin 0", 0][0] - starts["margin 0", 1][0]).max() > 1e-3
    ends = [read(folder / "seed-0")[0] for folder in folders.values()]
    assert np.abs(ends[0] - ends[1]).max() > 0
    # One figure anew, by NumPy.
    model = load_run(folders["margin 0"] / "seed-0")
    sides = (data / "tatoeba" / f"tatoeba.deu-eng.{side}" for side in ("deu", "eng"))
    x, y = (model.encode(path.read_text().splitlines()) for path in sides)
    right = [np.mean((x @ y.T).argmax(axis) == np.arange(20)) for axis in (1, 0)]
    results = json.loads((tmp_path / "report" / "results.json").read_text())
    found = results["runs"][0]["measured"][0]["languages"]["deu"]
    assert found == pytest.approx(np.mean(right))

    # Finished runs are read back; a report that was lost comes again; other settings are refused.
    monkeypatch.setattr(runs, "fine_tune", no_training)
    (tmp_path / "report").rename(tmp_path / "elsewhere")
    margin.main(arguments(data, tmp_path, "--seeds", "2"))
    assert (tmp_path / "report" / "table.md").read_text() == table
    with pytest.raises(ValueError, match=r"settings\.training\.steps was 2, now 3"):
        margin.main(arguments(data, tmp_path, "--steps", "3"))
    with pytest.raises(AssertionError, match="trained again"):
        margin.main(arguments(data, tmp_path, "--seeds", "3"))
    assert not list(tmp_path.glob("**/*unfinished*"))


def test_cross_replica(data, tmp_path, monkeypatch, mirrored):
    monkeypatch.setattr(comparison, "choose_strategy", mirrored)
    flags = arguments(data, tmp_path, "--replicas", "2")
    cross_replica.main(flags)
    names = ["in-batch, 3 negatives", "cross-replica, 7 negatives"]
    check_report(tmp_path, names)
    local, everywhere = (
        json.loads(run_file(tmp_path, name, 0, "config.json"))["settings"] for name in names
    )
    assert local.pop("loss") == "ReplicaNegativesLoss" and local == everywhere
    monkeypatch.setattr(runs, "fine_tune", no_training)
    cross_replica.main(flags)
    with pytest.raises(ValueError, match=r"`replicas` \(=3\) must .* divide `batch_size` \(=8\)"):
        cross_replica.main(arguments(data, tmp_path / "3", "--replicas", "3"))


def test_hard_negatives(eagerly, data, tmp_path, monkeypatch):
    flags = arguments(data, tmp_path, "--first-steps", "3")
    hard_negatives.main(flags)
    names = ["no hard negatives", "one hard negative"]
    check_report(tmp_path, names)
    settings = [json.loads(run_file(tmp_path, n, 0, "config.json"))["settings"] for n in names]
    assert [s.pop("hard_negatives") for s in settings] == [0, 1] and settings[0] == settings[1]
    first = tmp_path / "first-stage" / "seed-0"
    for name in ("no-hard-negatives", "one-hard-negative"):
        assert_same(read(tmp_path / "runs" / name / "seed-0", 0), read(first))
    # Every third column by brute force.
    with gzip.open(tmp_path / "hard-negatives" / "seed-0" / "deu-eng.tsv.gz", "rt") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    assert [tuple(r[:2]) for r in rows] == list(read_columns(tmp_path / "pairs/deu-eng.tsv.gz"))
    model = load_run(first)
    x, y = (model.encode([row[side] for row in rows]) for side in (0, 1))
    for row, cosines in zip(rows, x @ y.T, strict=True):
        right = {r[1] for r in rows if r[0] == row[0]}
        wrong = {r[1]: c for r, c in zip(rows, cosines, strict=True) if r[1] not in right}
        assert row[2] not in right and wrong[row[2]] == pytest.approx(max(wrong.values()), abs=1e-5)
    monkeypatch.setattr(runs, "fine_tune", no_training)
    monkeypatch.setattr(hard_negatives, "fine_tune", no_training)
    hard_negatives.main(flags)


def test_pretraining(eagerly, data, tmp_path, monkeypatch):
    flags = arguments(
        data, tmp_path, "--amounts", "20,100", "--pretraining-steps", "2",
        "--pretraining-batch-size", "4",
    )  # fmt: skip
    pretraining.main(flags)
    names = [f"{n}% of the pairs, {w} pre-training" for w in ("without", "with") for n in (20, 100)]
    results = check_report(tmp_path, names)
    assert [run["x"] for run in results["runs"]] == [20, 100, 20, 100]
    # One pre-training, on text alone; both amounts begin where it ended, the others at random.
    (folder,) = (tmp_path / "pretraining").iterdir()
    settings = json.loads((folder / "config.json").read_text())["settings"]
    assert settings["pairs"] == [] and settings["tlm_share"] == 0
    assert settings["text"] == [str(tmp_path / "pairs" / f"{c}-eng.tsv.gz") for c in ("deu", "fra")]
    starts = [read(next(tmp_path.glob(f"runs/{n}-of*-{w}-pre-training/seed-0")), 0)
              for w in ("with", "without") for n in (20, 100)]  # fmt: skip
    assert_same(starts[0], read(folder))
    assert_same(starts[1], starts[0])
    assert_same(starts[2], starts[3])
    assert_same(starts[2], read(folder, 0))
    assert np.abs(starts[0][0] - starts[2][0]).max() > 0
    # A part of 20% is 20% of each language, and a part of the whole.
    for code in ("deu", "fra"):
        whole, part = (
            list(read_columns(tmp_path / "parts" / f"{n}%" / "seed-0" / f"{code}-eng.tsv.gz"))
            for n in (100, 20)
        )
        assert len(part) == 12 and set(part) <= set(whole)
        assert whole == list(read_columns(tmp_path / "pairs" / f"{code}-eng.tsv.gz"))
    monkeypatch.setattr(runs, "fine_tune", no_training)
    monkeypatch.setattr(pretraining, "pretrain", no_training)
    pretraining.main(flags)


def test_what_is_refused(data, tmp_path, capsys):
    with pytest.raises(ValueError, match=r"lacks the languages \['xxx'\]; both have deu, fra\."):
        margin.main(arguments(data, tmp_path / "a", "--languages", "deu,xxx"))
    with pytest.raises(FileNotFoundError, match="no directory"):
        margin.main(["--pairs", str(tmp_path / "none"), "--workdir", str(tmp_path / "a")])
    with pytest.raises(ValueError, match=r"`seeds` \(=0\)"):
        margin.main(arguments(data, tmp_path / "a", "--seeds", "0"))
    for name in ("--margin", "--patience", "--evaluate-every", "--hard-negatives"):
        with pytest.raises(SystemExit):
            margin.main(arguments(data, tmp_path / "a", name, "1"))
        assert f"unrecognized arguments: {name}" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_from_a_shell(data, tmp_path):
    folders = ["--pairs", data / "tatoeba", "--workdir", tmp_path / "a"]
    process = fresh("-m", "training.experiments.margin", *folders)
    assert process.returncode == 2, process.stderr
    last = process.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and "none in common" in last
